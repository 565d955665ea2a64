"""MPO (Abdolmaleki et al., 2018), as Eq. 21 of the AWAC paper has it."""
