"""What every layer may use: terminals and texts."""
