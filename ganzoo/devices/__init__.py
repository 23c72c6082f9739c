"""Which devices and processes a run uses, and the numbers it computes in."""
