"""Recipes by network; each file has those of one paper, `srcnn_srresnet_vdsr` those of the three baselines."""
