"""Tile reading and HTTP."""
