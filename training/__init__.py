"""The papers' recipes: data, losses, the loop that runs them."""
