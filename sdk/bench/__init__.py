"""Networks timed beside each other, and beside what their papers say."""
