"""Pyramid builders."""
