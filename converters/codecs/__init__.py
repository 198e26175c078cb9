"""Bit streams of frames: surgery that decodes nothing, and coding of what had to be decoded."""
