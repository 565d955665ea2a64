"""What rows mean: one family of defects a file, fed block by block in constant memory; and the mended copy."""
