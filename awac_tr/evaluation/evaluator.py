"""How good a policy is, in episodes of its own: the four success measures and the return."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from awac_tr.collectors.collector import FAILURES
from awac_tr.collectors.episodes import EpisodePool, Failed
from awac_tr.collectors.workers import Batch
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import Controller
from awac_tr.envs.measures import measure_episode
from awac_tr.errors import EnvError
from awac_tr.policies.controllers import NetworkController
from awac_tr.utils.threads import intra_op_threads

if TYPE_CHECKING:
    from awac_tr.recipes.schema import EnvSection, EvalSection

__all__ = ["Evaluator"]

_log = logging.getLogger(__name__)

Policy = torch.nn.Module | Controller
Check = Callable[[], None]
Measured = dict[str, float]


class Evaluator:
    """Evaluates a run's policies, again and again, in places that stay ready: processes take seconds to start.

    Args:
        env: the environment.
        section: how many episodes, from which seeds, in how many processes, in the background or not.
    """

    def __init__(self, env: EnvSection, section: EvalSection) -> None:
        self._section = section
        self._seeds = range(section.seed, section.seed + section.episodes)
        self._digest = partial(measure_episode, goal_steps=env_info(env).goal_steps)
        workers = min(section.workers, section.episodes)
        self._pool = EpisodePool(env, workers=workers, apart=section.background, forgiving=True)
        self._begun: Batch | None = None

    def measure(self, policy: Policy, check: Check | None = None) -> Measured:
        """Mean of every measure over the episodes, waiting for the result.

        Torch's global generator is neither read nor changed.

        Args:
            policy: a policy module, or a controller.
            check: called after each episode; an exception from it ends the evaluation.

        Returns:
            Of the measures in :mod:`awac_tr.envs.measures` that the environment allows, the means, which do not depend
            on the number of processes; ``episodes_dropped`` counts those in which the environment failed, if any.

        Raises:
            EnvError: episodes fail again and again, or processes die so.
        """
        return _means(self._pool.play(_cast(policy, self._section.action), self._seeds, self._digest), check)

    def begin(self, policy: Policy) -> None:
        """Begin an evaluation of the policy as it stands; with ``eval.background`` only, and one at a time.

        Raises:
            EnvError: a process died.
        """
        self._begun = self._pool.start(_cast(policy, self._section.action), self._seeds, self._digest)

    def done(self) -> bool:
        """Whether :meth:`finish` would not have to wait."""
        return self._begun is None or self._begun.done()

    def finish(self) -> Measured:
        """The result of what was begun.

        Raises:
            EnvError: as :meth:`measure`.
        """
        if self._begun is None:
            raise RuntimeError("no evaluation was begun")
        begun, self._begun = self._begun, None
        return _means(begun, None)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


def _cast(policy: Policy, action: Literal["mean", "sample"]) -> Callable[[], Controller]:
    controller = NetworkController(policy, action) if isinstance(policy, torch.nn.Module) else policy
    return partial(_same, controller)


def _same(controller: Controller) -> Controller:
    return controller


def _means(episodes: Iterable[Measured | Failed], check: Check | None) -> Measured:
    """Of the measures that every episode has, in order of the seeds: sums do not depend on who played first."""
    rows: list[Measured] = []
    dropped = in_a_row = 0
    with intra_op_threads(1):
        for row in episodes:
            if isinstance(row, Failed):
                dropped, in_a_row = dropped + 1, in_a_row + 1
                _log.warning("an episode of an evaluation was dropped: %s", row.message)
                if in_a_row > FAILURES:
                    raise EnvError(f"{in_a_row} episodes in a row failed; the last: {row.message}")
            else:
                in_a_row = 0
                rows.append(row)
            if check is not None:
                check()
    if not rows:
        raise EnvError(f"the environment failed in all {dropped} episodes of an evaluation")
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if all(name in row for row in rows)}
    return means | ({"episodes_dropped": float(dropped)} if dropped else {})
