"""The domain: no framework, no I/O."""
