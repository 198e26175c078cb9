"""Part 10 streams: their elements, their frames, reading and writing."""
