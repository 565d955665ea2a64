"""Pictures of datasets, one a file: what a table does not show."""
