"""Gymnasium's spaces of an environment, made from its facts: for those who may not import Gymnasium."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from awac_tr.envs.facts import EnvFacts

__all__ = ["box_spaces"]


def box_spaces(facts: EnvFacts) -> tuple[Box, Box]:
    """Spaces of the observations, unbounded, and of the actions, both float32.

    Raises:
        ValueError: the facts have no bounds of the actions.

    >>> from awac_tr.envs.facts import env_facts
    >>> box_spaces(env_facts("door-binary-v0"))[1]
    Box(-1.0, 1.0, (28,), float32)
    """
    if facts.action_bounds is None:
        raise ValueError(f"the action bounds of {facts.id} are not known")
    low, high = (np.array(bound, np.float32) for bound in facts.action_bounds)
    return Box(-np.inf, np.inf, (facts.observation_size,), np.float32), Box(low, high, dtype=np.float32)
