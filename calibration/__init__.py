"""Calibration data, accuracy metrics and latency measurement."""
