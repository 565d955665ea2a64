"""Environments: the only part that imports gymnasium. Importing it registers ours."""

from __future__ import annotations

from typing import Final

import gymnasium

__all__ = ["ENV_IDS", "register"]

_ENTRY_POINTS: Final = {
    "pen-binary-v0": "awac_tr.envs.adroit:PenBinaryEnv",
    "door-binary-v0": "awac_tr.envs.adroit:DoorBinaryEnv",
    "relocate-binary-v0": "awac_tr.envs.adroit:RelocateBinaryEnv",
    "SawyerPush-v0": "awac_tr.envs.sawyer.push:SawyerPushEnv",
}
ENV_IDS: Final = tuple(_ENTRY_POINTS)
"""The ids this package registers with Gymnasium."""

_HORIZON: Final = 200


def register() -> None:
    """Register our environments with Gymnasium; calling it again changes nothing.

    Nothing is simulated or loaded before an environment is made.

    >>> register()
    >>> gymnasium.spec("door-binary-v0").max_episode_steps
    200
    """
    for env_id, entry_point in _ENTRY_POINTS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, entry_point=entry_point, max_episode_steps=_HORIZON)


register()
