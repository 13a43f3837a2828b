"""Comparison of models and of detectors."""
