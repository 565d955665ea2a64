"""Datasets out of datasets: merged, split, filtered, with their lineage."""
