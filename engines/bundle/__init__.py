"""A bundle: a folder that runs, its card, its I/O specification and what its engine was compiled for."""
