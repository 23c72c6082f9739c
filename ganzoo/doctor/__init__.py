"""Checks of what training promises, run for real on small models: `ganzoo doctor`."""
