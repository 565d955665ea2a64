"""DAPG, the demonstration-augmented policy gradient (Rajeswaran et al., 2018)."""
