"""Recipes and dataset cards: schema, strict loading, overrides, and the files that come with awac-tr."""
