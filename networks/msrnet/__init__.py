"""MSRNet, multi-scale reference network: one file per part of the paper."""
