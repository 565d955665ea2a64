"""A blind test of the validator: real plays, defects by their descriptions, six formats."""
