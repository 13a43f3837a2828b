"""Models that ship in the package, each a bundle with weights and card."""
