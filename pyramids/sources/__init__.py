"""Rasters that a pyramid can be built from."""
