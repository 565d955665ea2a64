"""AWAC (Nair et al., 2020)."""
