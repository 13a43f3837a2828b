"""MSRNet, face super-resolution with reference faces; one file per part of the paper."""
