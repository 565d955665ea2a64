"""SAC with a term of behaviour cloning on demonstrations."""
