"""OpenSlide, for what it alone reads; it works in processes of its own."""
