"""The scheduler: what happens to each face within the budget."""
