"""The configuration of a live run, and the file that it is read from."""
