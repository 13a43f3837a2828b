"""Destinations of live results, each with a bounded queue and a thread of its own."""
