"""Reading and writing dataset files: whole or by episode, ours and D4RL's, durable while they are written."""
