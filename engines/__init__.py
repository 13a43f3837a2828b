"""Engines: I/O spec, card and bundle, and one session class per runtime."""
