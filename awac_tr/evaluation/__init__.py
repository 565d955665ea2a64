"""Measuring policies: of a run while it trains, and of a file afterwards, with intervals."""
