"""One network's recipes a file, named by what they are for."""
