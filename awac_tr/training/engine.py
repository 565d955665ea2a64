"""Algorithm 1 of the paper, once for both phases: updates that are owed, and environment steps when none is."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from awac_tr.errors import AwacError
from awac_tr.policies.controllers import load_controller
from awac_tr.training import state
from awac_tr.training.collection import SUCCESS
from awac_tr.training.evaluation import evaluate_policy
from awac_tr.training.means import Means

if TYPE_CHECKING:
    from awac_tr.training.checkpoint import OnlineParts
    from awac_tr.training.display import Display
    from awac_tr.training.interrupt import Interruption
    from awac_tr.training.metrics import Metrics
    from awac_tr.training.progress import Progress
    from awac_tr.training.run_folder import RunFolder
    from awac_tr.training.setup import Rig

__all__ = ["Loop"]


class Loop:
    """Runs a prepared experiment from wherever its counters stand.

    Args:
        rig: what trains.
        folder: where checkpoints go.
        progress: the counters, advanced in place.
        metrics: where rows go.
        parts: online transitions on disk.
        display: told of everything.
        stop: asked at every safe place.
    """

    def __init__(
        self,
        rig: Rig,
        folder: RunFolder,
        progress: Progress,
        *,
        metrics: Metrics,
        parts: OnlineParts,
        display: Display,
        stop: Interruption,
    ) -> None:
        self.rig, self.folder, self.progress = rig, folder, progress
        self.metrics, self.parts, self.display, self.stop = metrics, parts, display, stop
        self.recipe = rig.recipe
        self.means = Means()
        self._begun = time.monotonic() - progress.wall

    def run(self) -> None:
        """Go on to the end.

        Raises:
            StopRequested: a signal came; :meth:`save` has everything that is needed to go on.
            AwacError: the losses are no numbers any more, or something cannot be written.
        """
        self._evaluate_clone()
        while True:
            self.stop.check()
            if self._evaluation_due():
                self._evaluate()
            if self._checkpoint_due():
                self.save()
            owed = self.progress.owed(self.recipe)
            if owed > 0:
                self._update(min(owed, self._updates_to_next_event()))
            elif self.progress.finished(self.recipe):
                return
            else:
                self._collect()

    def save(self, name: str = "last") -> None:
        """Write ``checkpoints/<name>.pt``, and the online transitions that are not on disk yet."""
        with self.progress.timed("checkpoint"):
            self.parts.flush()
            if name == "last":
                self.progress.checkpointed = (self.progress.update, self.progress.env_step)
            self.clock()
            path = self.folder.checkpoints / f"{name}.pt"
            rows, means = self.metrics.rows, self.means.state_dict()
            state.save(path, self.rig, self.progress, self.parts, metrics_rows=rows, means=means)

    def _updates_to_next_event(self) -> int:
        periods = (self.recipe.log.every, self.recipe.eval.every, self.recipe.checkpoint.every)
        return min(period - self.progress.update % period for period in periods if period)

    def _update(self, count: int) -> None:
        """The hot path: sample, update, and nothing else."""
        progress, seconds = self.progress, self.progress.seconds
        section = self.recipe.online if progress.env_step else self.recipe.offline
        sample, update, add = (
            partial(self.rig.buffer.sample, section.batch_size),
            self.rig.learner.update,
            self.means.add,
        )
        self.display.activity("updating")
        before = time.perf_counter()
        try:
            for _ in range(count):
                add(update(sample()))
                progress.update += 1
                now = time.perf_counter()
                seconds["update"] = seconds.get("update", 0.0) + now - before
                before = now
                if self.stop.signum is not None:
                    break
        except (RuntimeError, ValueError) as error:  # torch refuses to sample where the deviation is no number
            self._require_finite_policy(error)
            raise
        if progress.update % self.recipe.log.every == 0 or progress.at_rest(self.recipe):
            self._log_losses()

    def _log_losses(self) -> None:
        means = self.means.take()
        if not means:
            return
        self._row("train", means)
        broken = [name for name, value in means.items() if name.startswith("loss") and not math.isfinite(value)]
        if broken:
            raise self._diverged(", ".join(broken))

    def _require_finite_policy(self, cause: Exception) -> None:
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in self.rig.learner.policy.parameters())
        if not finite:
            raise self._diverged("the policy") from cause

    def _diverged(self, what: str) -> AwacError:
        return AwacError(
            f"training diverged: {what} is no finite number at update {self.progress.update}",
            "earlier checkpoints are kept. Smaller learning rates, awac.value_bounds or capped weights may help.",
        )

    def _collect(self) -> None:
        """One round of environment steps into the buffer."""
        progress, online = self.progress, self.recipe.online
        self.display.activity("collecting")
        with progress.timed("collect"):
            steps = min(online.steps_per_round, online.steps - progress.env_step)
            transitions = self.rig.collect(steps, progress.env_step)
            self.rig.buffer.extend(transitions)
            self.parts.add(transitions)
        progress.env_step += steps
        success = transitions.get(SUCCESS, None)
        values = {
            "reward": float(transitions["next", "reward"].mean()),
            "episodes_ended": int(transitions["next", "done"].sum()),
        }
        if success is not None:
            values["success_share"] = float(success.float().mean())
        self._row("round", {**values, "steps": steps})

    def _evaluation_due(self) -> bool:
        progress, every = self.progress, self.recipe.eval.every
        if progress.evaluated is None:
            return True
        periodic = every > 0 and progress.update % every == 0 and progress.update != progress.evaluated[0]
        return periodic or (
            progress.at_rest(self.recipe) and (progress.update, progress.env_step) != progress.evaluated
        )

    def _evaluate(self) -> None:
        values = self._measured(self.rig.learner.policy)
        progress, name = self.progress, self.recipe.checkpoint.measure
        progress.evaluated = (progress.update, progress.env_step)
        self._row("eval", values)
        merit = (values.get(name, values["return"]), values["return"])
        if progress.best is None or merit > progress.best:
            progress.best = merit
            self.save("best")

    def _evaluate_clone(self) -> None:
        """The clone that made the data, once, as the line that the run has to beat."""
        clone = self.rig.clone
        if (
            self.progress.evaluated is not None
            or self.progress.clone_evaluated
            or not self.recipe.eval.clone
            or clone is None
        ):
            return
        values = self._measured(load_controller(clone, self.recipe.eval.action, env=self.rig.facts))
        self.progress.clone_evaluated = True
        self._row("eval", values, phase="clone")

    def _measured(self, policy: Any) -> dict[str, float]:
        evaluation, env = self.recipe.eval, self.recipe.env
        self.display.activity("evaluating")
        with self.progress.timed("evaluate"):
            return evaluate_policy(
                policy,
                env.id,
                kwargs=env.kwargs,
                horizon=env.horizon,
                episodes=evaluation.episodes,
                seed=evaluation.seed,
                action=evaluation.action,
                check=self.stop.check,
            )

    def _checkpoint_due(self) -> bool:
        progress, every = self.progress, self.recipe.checkpoint.every
        if (progress.update, progress.env_step) == progress.checkpointed:
            return False
        return progress.at_rest(self.recipe) or (every > 0 and progress.update > 0 and progress.update % every == 0)

    def clock(self) -> float:
        """Seconds since the run began, over all sittings; noted in the counters."""
        self.progress.wall = time.monotonic() - self._begun
        return self.progress.wall

    def _row(self, event: str, values: dict[str, Any], phase: str | None = None) -> None:
        progress = self.progress
        row = {
            "event": event,
            "phase": phase or progress.phase,
            "update": progress.update,
            "env_step": progress.env_step,
            "wall": round(self.clock(), 3),
            **values,
        }
        self.metrics.write(row)
        self.display.row(row)
