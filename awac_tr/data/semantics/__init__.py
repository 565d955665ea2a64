"""What rows mean: one family of defects a file, each looking at a dataset block by block in constant memory."""
