"""Numbers of datasets, in constant memory, and in words."""
