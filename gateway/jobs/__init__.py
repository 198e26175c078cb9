"""Work that runs behind the doors."""
