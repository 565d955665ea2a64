"""Datasets of others made into ours, and ours into theirs: one file a format, imported when it is named."""
