"""Measurements beside what one would use instead. `make bench` runs them all."""
