"""The measured choice of runtime, precision and number of workers: candidates, trial and its record."""
