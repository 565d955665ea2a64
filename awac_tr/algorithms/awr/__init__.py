"""AWR, advantage-weighted regression (Peng et al., 2019)."""
