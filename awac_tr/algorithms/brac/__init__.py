"""BRAC (Wu et al., 2019)."""
