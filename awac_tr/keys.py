"""The names of things: TensorDict keys in memory, array names on disk, and how one becomes the other.

In memory we use TorchRL's singular keys, on disk D4RL's plural arrays. The conversion stands here and nowhere else.
"""

from __future__ import annotations

from typing import Final

Key = str | tuple[str, ...]

OBSERVATION: Final = "observation"
ACTION: Final = "action"
REWARD: Final = ("next", "reward")
NEXT_OBSERVATION: Final = ("next", "observation")
TERMINATED: Final = ("next", "terminated")
TRUNCATED: Final = ("next", "truncated")
DONE: Final = ("next", "done")
SUCCESS: Final = ("next", "success")
INFO: Final = "info"
EPISODE: Final = "episode"
NEXT_ACTION: Final = ("next", "action")
NOISE: Final = "noise"
STEPS_TO_NEXT: Final = "steps_to_next_obs"
DEMONSTRATIONS: Final = "demonstrations"
ACHIEVED_GOAL: Final = "achieved_goal"
DESIRED_GOAL: Final = "desired_goal"
NEXT_ACHIEVED_GOAL: Final = ("next", "achieved_goal")

DISK_TO_MEMORY: Final[dict[str, Key]] = {
    "observations": OBSERVATION,
    "actions": ACTION,
    "rewards": REWARD,
    "next_observations": NEXT_OBSERVATION,
    "terminals": TERMINATED,
    "timeouts": TRUNCATED,
}
"""Array name in a dataset file -> key of the TensorDict that TorchRL sees. ``DONE`` is the or of the last two."""

GOALS: Final[dict[str, Key]] = {
    "achieved_goals": ACHIEVED_GOAL,
    "next_achieved_goals": NEXT_ACHIEVED_GOAL,
    "desired_goals": DESIRED_GOAL,
}
"""Infos of a goal environment's episodes and files, float32 [T, g] each -> keys in buffers that relabel."""

EXTRA: Final[dict[str, Key]] = {"episode": EPISODE, "next_action": NEXT_ACTION}
"""What a batch may hold beyond that where an algorithm asks for it: the ordinal of the episode, int64 [B, 1]; and the
action of the following row of the episode, float32 [B, a], its own where none follows.
"""
