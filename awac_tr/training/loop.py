"""Algorithm 1 of the paper, once for both phases: updates that are owed, and environment steps when none is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from awac_tr.errors import AwacError, EnvError
from awac_tr.keys import REWARD, SUCCESS
from awac_tr.policies.checkpoint import save_checkpoint
from awac_tr.policies.controllers import load_controller
from awac_tr.training import state
from awac_tr.training.checkpoint import save_last
from awac_tr.training.progress import RunningMeans
from awac_tr.training.reproducibility import say_where_a_core_is_missing

if TYPE_CHECKING:
    from tensordict import TensorDictBase

    from awac_tr.training.checkpoint import OnlineParts
    from awac_tr.training.display import Display
    from awac_tr.training.experiment_setup import Experiment
    from awac_tr.training.interrupt import Interruption
    from awac_tr.training.metrics import Metrics
    from awac_tr.training.progress import Progress
    from awac_tr.training.run_folder import RunFolder

__all__ = ["Loop"]


class Loop:
    """Runs a prepared experiment from wherever its counters stand.

    Args:
        experiment: what trains.
        folder: where checkpoints go.
        progress: the counters, advanced in place.
        metrics: where rows go.
        parts: online transitions on disk.
        display: told of everything.
        stop: asked at every safe place.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        progress: Progress,
        *,
        metrics: Metrics,
        parts: OnlineParts,
        display: Display,
        stop: Interruption,
    ) -> None:
        self.experiment, self.folder, self.progress = experiment, folder, progress
        self.metrics, self.parts, self.display, self.stop = metrics, parts, display, stop
        self.recipe = experiment.recipe
        self.means = RunningMeans()
        self.monitor = experiment.monitor()
        self.likelihoods = experiment.likelihoods
        self._pending: _Pending | None = None
        self._whole: tuple[int, TensorDictBase] | None = None
        self._held: list[dict[str, Any]] = []
        self._begun = time.monotonic() - progress.wall

    def run(self) -> None:
        """Go on to the end.

        Raises:
            StopRequested: a signal came; :meth:`save` has everything that is needed to go on.
            EnvError: the environment fails again and again; everything before was saved.
            AwacError: training diverged, or something cannot be written.
        """
        say_where_a_core_is_missing(self.recipe, self.experiment.generator.device)
        if self.progress.update == self.progress.env_step == 0:
            self.experiment.learner.on_phase("offline")
        try:
            self._go_on()
        except EnvError as error:
            raise self._saved(error) from error
        except AwacError:
            self._finish_evaluation()  # what was learnt before the failure belongs into the files
            raise

    def _go_on(self) -> None:
        while True:
            self.stop.check()
            if self._pending is not None and self.experiment.evaluator.done():
                self._finish_evaluation()
            later = self.recipe.eval.background and not self.progress.at_rest(self.recipe)
            if later and self._checkpoint_due():
                self.save()  # first: a checkpoint waits for the evaluation under way
            if self._evaluation_due():
                if self.progress.evaluated is not None:  # the clone can wait, the first update should not
                    self._evaluate_clone()
                self._evaluate(later=later)
            if self._checkpoint_due():
                self.save()
            owed = self.progress.owed(self.recipe)
            if owed > 0:
                self._update(min(owed, self._updates_to_next_event()))
            elif self.progress.finished(self.recipe):
                return
            else:
                self._collect()

    def save(self) -> None:
        """Write ``checkpoints/last.pt``, and the online transitions that are not on disk yet.

        An evaluation in the background is waited for, so that no checkpoint misses one.

        Raises:
            DivergenceError: the policy's weights are no numbers; the checkpoint that is there stays.
        """
        self._finish_evaluation()
        self.monitor.require_finite(self.experiment.learner.policy, self.progress.update)
        with self.progress.timed("checkpoint"):
            self.progress.checkpointed = self.progress.counters
            content = self._content()
            self.metrics.sync()
            save_last(self.folder, content)

    def _content(self) -> dict[str, Any]:
        """Of a checkpoint at this moment; the tensors are the learner's own."""
        self.parts.flush()
        self.clock()
        rows, means = self.metrics.rows, self.means.state_dict()
        return state.payload(self.experiment, self.progress, self.parts, metrics_rows=rows, means=means)

    def _updates_to_next_event(self) -> int:
        periods = (self.recipe.log.every, self.recipe.eval.every, self.recipe.checkpoint.every)
        return min(period - self.progress.update % period for period in periods if period)

    def _update(self, count: int) -> None:
        """The hot path: sample, update, and nothing else."""
        progress, seconds = self.progress, self.progress.seconds
        sample, update, add = self._source(), self.experiment.learner.update, self.means.add
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
            self.monitor.require_finite(self.experiment.learner.policy, self.progress.update, error)
            raise
        if progress.update % self.recipe.log.every == 0 or progress.at_rest(self.recipe):
            self._log_losses()

    def _source(self) -> Callable[[], TensorDictBase]:
        """Where batches come from in this phase, by the algorithm's needs."""
        experiment, needs = self.experiment, self.recipe.algorithm.needs()
        online = self.progress.env_step > 0
        batch_size = (self.recipe.online if online else self.recipe.offline).batch_size
        kind = needs.online if online else needs.offline
        if kind == "round":
            newest = experiment.newest_round.to(experiment.generator.device)
            return lambda: newest
        buffer = experiment.buffer
        if kind == "buffer":
            whole = self._whole_buffer()
            return lambda: whole
        return partial(buffer.sample_trajectories if kind == "trajectories" else buffer.sample, batch_size)

    def _whole_buffer(self) -> TensorDictBase:
        """The buffer's rows in order, read out once a round."""
        if self._whole is None or self._whole[0] != self.progress.env_step:
            self._whole = None  # first: two copies might not fit
            self._whole = (self.progress.env_step, self.experiment.buffer.in_order())
        return self._whole[1]

    def _log_losses(self) -> None:
        means = self.means.take()
        if means:
            self._row("train", means)
            self.monitor.check(means, self.progress.update)

    def _collect(self) -> None:
        """One round of environment steps into the buffer."""
        progress = self.progress
        if progress.env_step == 0:
            self.experiment.learner.on_phase("online")
        self.display.activity("collecting")
        with progress.timed("collect"):
            steps = self._round_after(progress.env_step)
            then = self._round_after(progress.env_step + steps)
            transitions = self.experiment.collector_after(progress.env_step).collect(steps, then=then)
            self.experiment.buffer.extend(transitions)
            self.parts.add(transitions)
            self.experiment.newest_round = transitions
        likely = {} if self.likelihoods is None else self.likelihoods.of_round(transitions)
        self.experiment.learner.on_round(transitions)
        self.monitor.observe(float(transitions[REWARD].abs().max()))
        progress.env_step += steps
        success = transitions.get(SUCCESS, None)
        values = {
            "reward": float(transitions["next", "reward"].mean()),
            "episodes_ended": int(transitions["next", "done"].sum()),
        }
        if success is not None:
            values["success_share"] = float(success.float().mean())
        if self.experiment.collector is not None and self.experiment.collector.dropped:
            values["episodes_dropped"] = self.experiment.collector.dropped
        self._row("round", {**values, **likely, "steps": steps})

    def _saved(self, error: EnvError) -> EnvError:
        """Where no step can be taken any more: save what is there, and say how to go on."""
        self.save()
        return EnvError(error.message, f"{error.hint} Go on with: awac-tr train --resume {self.folder.path}".strip())

    def _round_after(self, env_step: int) -> int:
        """Steps of the round that begins after so many; 0: there is none."""
        return min(self.recipe.online.steps_per_round, self.recipe.online.steps - env_step)

    def _evaluation_due(self) -> bool:
        progress, every = self.progress, self.recipe.eval.every
        if progress.evaluated is None:
            return True
        periodic = every > 0 and progress.update % every == 0 and progress.update != progress.evaluated[0]
        return periodic or (progress.at_rest(self.recipe) and progress.counters != progress.evaluated)

    def _evaluate(self, *, later: bool) -> None:
        """Evaluate the policy as it stands: now, or while training goes on."""
        self._finish_evaluation()
        policy, progress = self.experiment.learner.evaluate, self.progress
        likely = {} if self.likelihoods is None else self.likelihoods.at(progress.update)
        if later:
            self.experiment.evaluator.begin(policy)
            progress.evaluated = progress.counters
            self._pending = _Pending({**self._place("eval"), **likely}, state.kept(self._content()))
            return
        values = self._measured(policy)
        progress.evaluated = progress.counters
        self._record_evaluation({**self._place("eval"), **likely}, values)

    def _finish_evaluation(self) -> None:
        """Take the result of the evaluation under way, if any, and write the rows that stood behind its own."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            self.display.activity("evaluating")
            with self.progress.timed("evaluate"):
                values = self.experiment.evaluator.finish()
            self._record_evaluation(pending.place, values, pending.content)
        finally:
            held, self._held = self._held, []
            for row in held:
                self.metrics.write(row)

    def _record_evaluation(
        self, place: dict[str, Any], values: dict[str, float], content: dict[str, Any] | None = None
    ) -> None:
        """Write an evaluation's row and, when it is the best so far, ``best.pt``: the content, or what stands now."""
        name, row = self.experiment.measure, {**place, **values}
        self.metrics.write(row)
        self.display.row(row)
        merit = (values.get(name, values["return"]), values["return"])
        if self.progress.best is not None and merit <= self.progress.best:
            return
        self.progress.best = merit
        with self.progress.timed("checkpoint"):
            content = self._content() if content is None else content
            content["metrics_rows"], content["progress"]["best"] = self.metrics.rows, merit
            self.metrics.sync()
            save_checkpoint(self.folder.best, content)

    def _evaluate_clone(self) -> None:
        """The clone that made the data, once, as the line that the run has to beat; every run has two evaluations."""
        clone = self.experiment.clone
        if self.progress.clone_evaluated or not self.recipe.eval.clone or clone is None:
            return
        self._finish_evaluation()
        values = self._measured(load_controller(clone, self.recipe.eval.action, env=self.experiment.facts))
        self.progress.clone_evaluated = True
        self._row("eval", values, phase="clone")

    def _measured(self, policy: Any) -> dict[str, float]:
        self.display.activity("evaluating")
        with self.progress.timed("evaluate"):
            return self.experiment.evaluator.measure(policy, self.stop.check)

    def _checkpoint_due(self) -> bool:
        progress, every = self.progress, self.recipe.checkpoint.every
        if progress.counters == progress.checkpointed:
            return False
        return progress.at_rest(self.recipe) or (every > 0 and progress.update > 0 and progress.update % every == 0)

    def clock(self) -> float:
        """Seconds since the run began, pauses left out; noted in the counters."""
        self.progress.wall = time.monotonic() - self._begun
        return self.progress.wall

    def _row(self, event: str, values: dict[str, Any], phase: str | None = None) -> None:
        row = {**self._place(event, phase), **values}
        self.display.row(row)
        if self._pending is None:
            self.metrics.write(row)
        else:
            self._held.append(row)  # rows stand in the order of their counters

    def _place(self, event: str, phase: str | None = None) -> dict[str, Any]:
        progress = self.progress
        return {
            "event": event,
            "phase": phase or progress.phase,
            "update": progress.update,
            "env_step": progress.env_step,
            "wall": round(self.clock(), 3),
        }


@dataclass(frozen=True)
class _Pending:
    """An evaluation under way: where its row belongs, and a checkpoint of the weights that are evaluated."""

    place: dict[str, Any]
    content: dict[str, Any]
