"""Database of tracks, faces and evidence."""
