"""Use cases: they get ports and give domain objects."""
