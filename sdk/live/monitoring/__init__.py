"""Metrics, health, recordings and traces of a live run."""
