"""Encoding of composites as video."""
