"""Algorithms: each a loss, its optimisers and its target updater behind one small interface, one file each."""
