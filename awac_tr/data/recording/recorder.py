"""Recording a user's own environment: a teleoperated rig, an agent of another library, a script.

Somebody else is in control meanwhile, and when things end in the middle, what there is can be kept.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode
    from awac_tr.envs.recorder import EpisodeRecorder

__all__ = ["OnError", "Recording", "record"]

_LOG = logging.getLogger(__name__)

OnError = Literal["keep", "drop"]
"""What becomes of the file when an exception ends the recording: the episodes so far are kept, or nothing is."""


def record(
    env: Any,
    path: str | Path,
    *,
    source: str,
    policy: str = "",
    licence: str = "",
    description: str = "",
    env_id: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    horizon: int | None = None,
    infos: Sequence[str] = (),
    record_state: bool | None = None,
    extra: Mapping[str, Any] | None = None,
    on_error: OnError = "keep",
    overwrite: bool = False,
) -> EpisodeRecorder:
    """Record everything played in an environment from here on into a dataset file.

    Use what comes back in place of the environment, best in a ``with`` block. The file appears when the block is left,
    or at ``close()``, which also closes the environment; until then it is ``<path>.part``. An episode that is left
    before its end, by a reset, the end of the block or an exception, is stored up to there as cut (a timeout).

    Args:
        env: Gymnasium environment with vectors as observations and real vectors as actions; need not be registered.
        path: file to make, usually ``NAME.hdf5``.
        source: how the transitions come about, in a word: ``teleop``, ``policy``, ``random`` ...
        policy: who or what acts, in words.
        licence: of the data, SPDX where possible.
        description: one or two sentences.
        env_id: Gymnasium id under which others can make this environment; None: the registered one, where observations
            and actions are still its own; empty for none.
        env_kwargs: its keyword arguments; None: the registered ones.
        horizon: steps before an episode is cut; None: as registered.
        infos: names in ``info`` to keep after each step, numbers or bools of a fixed shape (a force, a camera's time).
        record_state: keep MuJoCo's state before each action, which makes replays exact; None: where there is one.
        extra: anything more, plain JSON.
        on_error: ``keep``: an exception (Ctrl-C too) leaves a file with all there was; ``drop``: it leaves none.
        overwrite: replace an existing file.

    Returns:
        The environment to play in; ``counts`` says what was recorded.

    Raises:
        DatasetError: the file exists or cannot be written; at the end: nothing was recorded.
        EnvError: observations or actions of another kind.

    Example:
        >>> import gymnasium, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.hdf5"
        >>> with record(gymnasium.make("Pendulum-v1"), path, source="random", licence="CC0-1.0") as env:
        ...     for seed in range(2):
        ...         _ = env.reset(seed=seed)
        ...         over = False
        ...         while not over:
        ...             _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ...             over = terminated or truncated
        >>> from awac_tr.data import open_dataset
        >>> with open_dataset(path) as dataset:
        ...     dataset.meta.env_id, dataset.episodes.lengths.tolist(), dataset.episodes.seeds.tolist()
        ('Pendulum-v1', [200, 200], [0, 1])
    """
    from awac_tr.envs.env_spec import env_record
    from awac_tr.envs.recorder import EpisodeRecorder

    known = env_record(env)
    same = env_id in (None, known.env_id)
    meta = DatasetMeta(
        env_id=known.env_id if env_id is None else env_id,
        env_kwargs=dict(known.env_kwargs if env_kwargs is None and same else env_kwargs or {}),
        horizon=known.horizon if horizon is None else horizon,
        source=source,
        policy=policy,
        action_low=known.action_low,
        action_high=known.action_high,
        licence=licence,
        description=description,
        extra={**({"wrappers": known.wrappers} if known.wrappers else {}), **(extra or {})},
    )
    recording = Recording(DatasetWriter(path, meta, overwrite=overwrite), on_error)
    try:
        return EpisodeRecorder(env, recording.append, recording.close, infos=infos, record_state=record_state)
    except BaseException:
        recording.writer.abort()
        raise


class Recording:
    """Writes episodes as they come, and gives the file its name at the end. Ctrl-C waits while a row is half written.

    Args:
        writer: of the file; nothing is done with it before.
        on_error: what an exception (Ctrl-C too) leaves.
    """

    def __init__(self, writer: DatasetWriter, on_error: OnError) -> None:
        if on_error not in ("keep", "drop"):
            raise DatasetError(f"on_error is {on_error!r}", "It is 'keep' or 'drop'.")
        self.content_hash = ""
        self._on_error = on_error
        self.writer = writer.__enter__()
        """For counts and the path."""
        self._open = True

    def append(self, episode: Episode) -> None:
        """Add an episode; DatasetError where it does not fit, or the disk is full."""
        if not self._open:
            raise DatasetError(f"the recording of {self.writer.path} is over")
        with _undisturbed():
            self.writer.append(episode)

    def close(self, error: BaseException | None) -> None:
        """Finish the file, or drop it, by what ended the recording; a second call does nothing.

        Raises:
            DatasetError: nothing was recorded, although nothing went wrong.
        """
        if not self._open:
            return
        self._open = False
        with _undisturbed():
            try:
                self._finish(error)
            finally:
                self.writer.abort()

    def _finish(self, error: BaseException | None) -> None:
        writer = self.writer
        said = f"{writer.episodes} episodes, {writer.transitions:,} transitions"
        if error is None:
            if not writer.episodes:
                raise DatasetError(f"nothing was recorded, so there is no {writer.path}")
            self.content_hash = writer.finish()
            _LOG.info("%s: %s", writer.path, said)
            return
        why = f"{type(error).__name__} ended the recording"
        if self._on_error == "drop" or not writer.episodes:
            _LOG.warning("%s: %s, not kept; %s", writer.path, said, why)
            return
        try:
            self.content_hash = writer.finish()
        except DatasetError as problem:  # what ended the recording may have been the disk, and is raised in any case
            _LOG.warning("%s: %s, lost: %s", writer.path, said, problem.message)
        else:
            _LOG.warning("%s: %s, kept; %s", writer.path, said, why)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: pressed.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            before(signal.SIGINT, pressed[0])
