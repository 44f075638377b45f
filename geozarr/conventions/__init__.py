"""The Zarr conventions that a pyramid registers, one module each, at revision v0.1."""

from geozarr.conventions import multiscales, proj, registration, spatial

__all__ = ["multiscales", "proj", "registration", "spatial"]
