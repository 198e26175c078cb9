"""What frames show: decoding, colours, greys, and pictures composed from them."""
