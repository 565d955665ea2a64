"""The command line, one file a command; nothing here computes."""
