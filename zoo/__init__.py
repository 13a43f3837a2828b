"""Models that ship in the package, each a bundle with its weights and card."""
