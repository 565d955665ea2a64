"""``train``: a recipe becomes a run folder, from the beginning or from where it was stopped."""

from __future__ import annotations

import json
import logging
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awac_tr.errors import AwacError, EnvError
from awac_tr.recipes.checks import say_unused_keys
from awac_tr.recipes.resolved import resolved_yaml, with_sources_of
from awac_tr.training import state
from awac_tr.training.checkpoint import OnlineParts, Saved, read_newest
from awac_tr.training.display import Display, make_display
from awac_tr.training.experiment_setup import Experiment, prepare
from awac_tr.training.interrupt import Interruption, StopRequested, TrainingInterrupted
from awac_tr.training.loop import Loop
from awac_tr.training.metrics import Metrics, read_rows
from awac_tr.training.progress import Progress
from awac_tr.training.reproducibility import deterministic_algorithms
from awac_tr.training.run_folder import NoticeKeeper, RunFolder, scratch_folder, surroundings
from awac_tr.training.summary import summarize
from awac_tr.utils.atomic import reason_of, remedy_for, write_text
from awac_tr.utils.threads import intra_op_threads

if TYPE_CHECKING:
    from awac_tr.recipes.loader import LoadedRecipe

__all__ = ["train"]

_log = logging.getLogger(__name__)


def train(
    loaded: LoadedRecipe,
    *,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    scratch: str | Path | None = None,
) -> Path:
    """Run an experiment: offline updates, then rounds of environment steps and updates, into a run folder.

    The datasets must be there; ``awac-tr train`` makes missing ones from their cards.

    Args:
        loaded: the recipe; on resuming, that of the run.
        run_dir: folder to make; None: ``runs/<recipe>-<time>-<seed>``.
        resume: run folder to go on with, from its ``checkpoints/last.pt``.
        quiet: show no progress on stderr.
        scratch: folder on the disk of a buffer in mapped files (``buffer.storage: memmap``); None: that of the run.

    Returns:
        The run folder, with ``recipe.yaml``, ``record.json``, ``metrics.jsonl``, ``summary.json``, ``curve.png`` and
        ``checkpoints/last.pt`` and ``best.pt``.

    Raises:
        AwacError: the recipe, a dataset, the environment or the checkpoint cannot be used; before anything is written.
            Also when another process is at the run, the losses are no numbers any more, or a file cannot be written.
        TrainingInterrupted: a signal came; a checkpoint was written first.
    """
    if run_dir is not None and resume is None:
        RunFolder.require_new(Path(run_dir))
    with NoticeKeeper() as notices, intra_op_threads(loaded.recipe.threads), ExitStack() as stack:
        stack.enter_context(deterministic_algorithms(loaded.recipe.deterministic))
        say_unused_keys(loaded)
        if resume is not None:
            RunFolder(Path(resume)).require_run()
            stack.enter_context(RunFolder(Path(resume)).lock())
        experiment = prepare(loaded.recipe, scratch=scratch_folder(run_dir if resume is None else resume, scratch))
        stack.callback(experiment.close)
        if resume is not None:
            run = _Run.resumed(loaded, experiment, Path(resume))
        else:
            run = _Run(loaded, experiment, RunFolder.create(loaded.recipe, run_dir), _new_record(experiment))
            stack.enter_context(run.folder.lock())
            run.folder.require_empty(run.folder.path)
        try:
            measure = experiment.measure
            run.go(notices, make_display(loaded.recipe, run.progress, measure, quiet=quiet, stream=sys.stderr))
        except (OSError, AwacError) as error:
            if isinstance(error, EnvError) or not isinstance(error.__cause__ or error, OSError):
                raise
            raise _stopped(run.folder, error) from error
        return run.folder.path


def _stopped(folder: RunFolder, error: OSError | AwacError) -> AwacError:
    """Of a run for which a file could not be written: why, what to do about it, and the command to go on."""
    if isinstance(error, OSError):
        of = f"{error.filename}: " if error.filename else ""
        error = AwacError(f"{of}{reason_of(error)}", remedy_for(error))
    go_on = f"--resume {folder.path}" if folder.recipe.is_file() else f"RECIPE --run {folder.path}"
    hint = f"{error.hint} Then go on with: awac-tr train {go_on}".strip()
    return AwacError(f"the run in {folder.path} stopped: {error.message}", hint)


def _new_record(experiment: Experiment) -> dict[str, Any]:
    return {"id": uuid.uuid4().hex[:8], **surroundings(), "datasets": experiment.hashes, "notices": [], "resumed": []}


class _Run:
    """A prepared experiment and its folder."""

    def __init__(self, loaded: LoadedRecipe, experiment: Experiment, folder: RunFolder, record: dict[str, Any]) -> None:
        self.loaded, self.experiment, self.folder, self.record = loaded, experiment, folder, record
        self.parts = OnlineParts(folder)
        self.progress = Progress()
        self.rows: list[dict[str, Any]] = []
        self.means: dict[str, Any] = {}

    @classmethod
    def resumed(cls, loaded: LoadedRecipe, experiment: Experiment, path: Path) -> _Run:
        """Read the folder's record and its newest checkpoint; a run killed before its first one begins anew."""
        folder = RunFolder(path)
        before = folder.recipe.read_text(encoding="utf-8")
        run = cls(with_sources_of(before, loaded), experiment, folder, folder.read_record() or _new_record(experiment))
        saved = read_newest(folder, run.parts)
        if saved is None:
            folder.require_unfinished()
            _log.warning("%s has no checkpoint yet: the run begins anew.", path)
        else:
            run._restore(saved)
        run.parts.go_on_after(saved.content["online_parts"] if saved else [])
        where = {"update": run.progress.update, "env_step": run.progress.env_step}
        run.record["resumed"].append({**where, **surroundings()})
        run.record.update(ended=None, ended_by=None)
        return run

    def _restore(self, saved: Saved) -> None:
        progress = self.progress = state.restore(saved.content, saved.transitions, self.experiment)
        self.rows, self.means = saved.rows, saved.content["means"]
        if progress.best is not None and not self.folder.best.is_file():
            _log.warning("%s is gone: the next evaluation makes it anew.", self.folder.best)
            progress.best = None
        if progress.finished(self.experiment.recipe):
            can_go_on = self.experiment.recipe.algorithm.needs().online is not None
            longer = "With a larger online.steps=N it goes on." if can_go_on else ""
            where = f"{progress.update} updates, {progress.env_step} environment steps"
            _log.info("%s is finished (%s): nothing is left to train. %s", self.folder.path, where, longer)

    def go(self, notices: NoticeKeeper, display: Display) -> None:
        """Train, and write the folder's files whatever way it ends."""
        recipe = self.loaded.recipe
        if not self.folder.recipe.exists() or "override" in self.loaded.sources.values():
            write_text(self.folder.recipe, resolved_yaml(self.loaded))
        self.write_record(notices)
        config = recipe.model_dump(mode="json")
        metrics = Metrics(self.folder.path, recipe.log, run_id=self.record["id"], config=config, kept=self.rows)
        with ExitStack() as stack:
            stack.callback(metrics.close)
            stop = stack.enter_context(Interruption())
            loop = Loop(
                self.experiment,
                self.folder,
                self.progress,
                metrics=metrics,
                parts=self.parts,
                display=display,
                stop=stop,
            )
            if self.means:
                loop.means.load_state_dict(self.means, self.experiment.generator.device)
            display.start()
            stack.callback(display.stop)
            try:
                self._run(loop, stop)
            # whatever ends a run, Ctrl-C included: its rows deserve their summary
            except BaseException as error:
                loop.clock()
                self._conclude_early(notices, error)
                raise
            loop.clock()
        self._conclude(notices)

    def _run(self, loop: Loop, stop: Interruption) -> None:
        try:
            loop.run()
        except StopRequested as request:
            loop.save()
            raise TrainingInterrupted(self.folder.path, stop.signum or 0) from request

    def _conclude_early(self, notices: NoticeKeeper, error: BaseException) -> None:
        """As :meth:`_conclude`, where nothing that goes wrong now may stand in for what went wrong before."""
        try:
            self._conclude(notices, ended_by=error)
        except Exception as failure:  # noqa: BLE001
            _log.warning("%s is without a summary: %s", self.folder.path, failure)

    def _conclude(self, notices: NoticeKeeper, *, ended_by: BaseException | None = None) -> None:
        """Write summary.json and record.json, and of a run that came to its end curve.png."""
        progress, finished = self.progress, ended_by is None
        rows = read_rows(self.folder.path)
        summary = summarize(
            rows,
            offline_updates=self.loaded.recipe.offline.updates,
            finished=finished,
            seconds=progress.seconds,
            wall=progress.wall,
        )
        write_text(self.folder.summary, json.dumps(summary, indent=2) + "\n")
        if finished:
            from awac_tr.training.curves import plot_runs

            plot_runs([self.folder.path], self.folder.curve)
        reason = None if ended_by is None else f"{type(ended_by).__name__}: {ended_by}"
        self.write_record(notices, ended=time.strftime("%Y-%m-%dT%H:%M:%S%z"), ended_by=reason)

    def write_record(self, notices: NoticeKeeper, **more: Any) -> None:
        """Replace record.json, with the notices given so far."""
        said = [*self.record["notices"], *(text for text in notices.notices if text not in self.record["notices"])]
        self.record = {**self.record, "notices": said, **more}
        self.folder.write_record(self.record)
