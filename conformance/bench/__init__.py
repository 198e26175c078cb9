"""Measurements, and the slides for them."""
