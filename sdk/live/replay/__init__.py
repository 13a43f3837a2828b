"""Replay of a recorded live run: what happened, and what the machine carries."""
