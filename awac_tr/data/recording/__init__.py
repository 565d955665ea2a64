"""Recording episodes that somebody else plays: an environment, a rig, a TorchRL collector."""
