"""Datasets: the file format, writing, reading, validating, importing, and the way into a replay buffer."""
