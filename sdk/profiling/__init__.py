"""Timings, profiles, traces and reports."""
