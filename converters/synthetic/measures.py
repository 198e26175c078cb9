"""The measures that all parts of the drawing keep to, in pixels of the base level."""

import os

TILE = 256
BLOCK = 1024  # one tile of level 1, 4 x 4 tiles of level 0
CELL = 16  # pixels of the slide per value of a map
PERIOD = 1440  # pixels after which a texture repeats; no multiple of BLOCK
GLASS = 243  # grey level where nothing is
WORKERS = min(8, os.cpu_count() or 1)  # each needs about 25 MB
