"""The dataset file, format 1: names, what it says of itself, its hash, and findings about it."""
