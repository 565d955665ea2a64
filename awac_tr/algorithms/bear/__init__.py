"""BEAR (Kumar et al., 2019)."""
