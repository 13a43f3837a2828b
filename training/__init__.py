"""Training: recipes, data sets, losses and the training loop."""
