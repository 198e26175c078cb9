"""One module for each revision; once released it never changes."""
