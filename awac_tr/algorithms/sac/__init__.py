"""SAC (Haarnoja et al., 2018), from scratch, from prior data, or from a clone."""
