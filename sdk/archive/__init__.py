"""Archives: many files on one machine or on a Ray cluster."""
