"""Evaluation of super-resolution models and face detectors."""
