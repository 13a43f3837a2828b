"""Metrics of super-resolution and of detection."""
