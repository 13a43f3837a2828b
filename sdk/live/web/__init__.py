"""The web page of a live run: composites, tracks, figures."""
