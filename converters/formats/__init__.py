"""What each scanner's file looks like: a module a format, a row in ``converters.sources``."""
