"""Latency prediction for devices that are not at hand: a roofline model, fitted to published measurements."""
