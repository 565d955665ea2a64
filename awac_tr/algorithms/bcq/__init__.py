"""BCQ (Fujimoto et al., 2019)."""
