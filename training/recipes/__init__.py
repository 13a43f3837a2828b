"""Recipes by network; each file has those of one paper, `baselines` those of three."""
