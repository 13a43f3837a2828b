"""Command-line interface: one module per command, each a call of the library. Only this package prints and exits."""
