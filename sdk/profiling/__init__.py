"""Per-stage timing, profiles, traces and HTML reports."""
