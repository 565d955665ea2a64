"""Policies: networks from recipes, noise, controllers that act in numpy, checkpoints, packaged demonstrators."""
