"""The edge network, and its initialization from a smaller one."""
