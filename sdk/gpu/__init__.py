"""The same stages on a GPU."""
