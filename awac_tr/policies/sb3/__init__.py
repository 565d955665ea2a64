"""Policy files of Stable-Baselines3 (``.zip``): read without it and without running anything, or, trusted, by it."""
