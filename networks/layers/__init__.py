"""Layers and functions shared by several networks."""
