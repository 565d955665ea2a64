"""Many runs as one experiment: a plan, its runs, and what they show."""
