"""How well episodes went: the four measures of success that different authors quote, return and length."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.episode import Episode
from awac_tr.envs.make import tells_success
from awac_tr.errors import RecipeError

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["SUCCESS_MEASURES", "chosen_measure", "measure", "measure_episode"]

_log = logging.getLogger(__name__)

SUCCESS_MEASURES: Final = ("success_any", "success_last", "success_share", "success_steps")
"""At any step; at the last step; share of steps; more goal steps than the task asks for (pen 20, door, relocate 25)."""


def chosen_measure(wanted: str | None, facts: EnvInfo) -> str:
    """The measure that checkpoints are compared by; None is ``success_any``, or the return where there is no success.

    Raises:
        RecipeError: the environment does not have the measure that is wanted.
        EnvError: of a step that is taken to find out.
    """
    if wanted == "return":
        return wanted
    success = tells_success(facts.env)
    if wanted is None:
        if not success:
            _log.info("checkpoint.measure: return, since %s does not tell success at every step", facts.id)
        return "success_any" if success else "return"
    known = SUCCESS_MEASURES[: None if facts.goal_steps is not None else -1] if success else ()
    if wanted not in known:
        raise RecipeError(
            f"checkpoint.measure: {wanted}, which episodes of {facts.id} do not have",
            f"They have {', '.join([*known, 'return'])}: write one of these, or leave the key out.",
        )
    return wanted


def measure(episodes: Iterable[Episode], goal_steps: int | None) -> dict[str, NDArray[np.float64]]:
    """Measures of each episode; they are read once, so a generator of rollouts will do.

    Args:
        episodes: of one task.
        goal_steps: ``success_steps`` is 1 with more goal steps than this; None leaves that measure out.

    Returns:
        float64 arrays [number of episodes]: ``return`` (undiscounted sum of rewards), ``length`` (steps) and, where
        every episode has ``infos["success"]``, the success measures, each in [0, 1]. Their means are success rates.
    """
    rows = [measure_episode(episode, goal_steps) for episode in episodes]
    names = [name for name in rows[0] if all(name in row for row in rows)] if rows else ["return", "length"]
    return {name: np.array([row[name] for row in rows], np.float64) for name in names}


def measure_episode(episode: Episode, goal_steps: int | None) -> dict[str, float]:
    """The measures of one episode, see :func:`measure`; those of success only where the environment tells it."""
    values = {"return": float(episode.rewards.sum(dtype=np.float64)), "length": float(len(episode))}
    success = episode.infos.get("success")
    if success is None:
        return values
    values["success_any"] = float(success.any())
    values["success_last"] = float(success[-1])
    values["success_share"] = float(success.mean())
    if goal_steps is not None:
        values["success_steps"] = float(success.sum() > goal_steps)
    return values
