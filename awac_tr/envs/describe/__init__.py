"""Environments described: spaces, rewards and ends in words, which there are, how fast they are."""
