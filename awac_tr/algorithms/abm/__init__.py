"""ABM, the advantage-weighted behaviour model (Siegel et al., 2020), as the AWAC paper compares with it."""
