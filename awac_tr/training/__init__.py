"""Training: the loop, its run folder, checkpoints, metrics and what is shown of them."""
