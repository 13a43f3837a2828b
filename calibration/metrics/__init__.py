"""Metrics for super-resolution and face detection."""
