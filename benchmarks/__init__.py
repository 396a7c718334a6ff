"""Measurements of speed and memory, each against the plain way of doing the same in the same run: `make bench`."""
