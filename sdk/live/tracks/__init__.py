"""Tracks of faces: ids over frames, steady windows, usability, best shots."""
