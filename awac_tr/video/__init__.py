"""Films of episodes, H.264 in mp4 with the numbers drawn into the picture; and still pictures of environments."""
