"""The index on SQLite and PostgreSQL."""
