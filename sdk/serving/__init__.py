"""Servers: the face service and model repositories."""
