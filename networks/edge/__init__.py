"""The edge network, and growing it from a smaller one."""
