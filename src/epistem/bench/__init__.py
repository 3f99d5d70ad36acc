"""Which model for which image: profile, plan, run, compare."""
