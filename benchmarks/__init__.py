"""Measurements: ratios in one run, never timed tests. `make bench` runs them all; each module runs alone too."""
