"""What all doors share of HTTP: addresses, media types, bodies, conditions, limits, errors."""
