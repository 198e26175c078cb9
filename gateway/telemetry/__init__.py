"""What the server tells operators: logs without patient data, and metrics."""
