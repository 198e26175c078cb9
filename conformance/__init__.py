"""What proves that the gateway does what it says."""
