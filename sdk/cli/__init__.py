"""The command line: one file a command, each one library call. Only here does anything print or exit."""
