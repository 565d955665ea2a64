"""A Stable-Baselines3 file loaded by Stable-Baselines3 itself. That runs code of the file: only where its user says so.

For what the safe way cannot know: policies of other classes, features extractors, recurrent policies, CrossQ, ARS.
Needs the extra ``awac-tr[sb3]``.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from awac_tr.envs.action_units import ActionUnits
from awac_tr.envs.episode import box_spaces
from awac_tr.errors import CheckpointError
from awac_tr.policies.noise import action_generator
from awac_tr.policies.sb3.archive import read_data
from awac_tr.policies.sb3.load import bounds_and_units
from awac_tr.policies.sb3.settings import noted_bounds

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["TrustedController", "load_trusted"]

Array = NDArray[np.float32]

_log = logging.getLogger(__name__)

_ALGORITHMS: Final = (
    (("policy_delay", "target_entropy"), "sb3_contrib", "CrossQ"),
    (("top_quantiles_to_drop_per_net",), "sb3_contrib", "TQC"),
    (("target_entropy",), "stable_baselines3", "SAC"),
    (("target_policy_noise",), "stable_baselines3", "TD3"),
    (("cg_max_steps",), "sb3_contrib", "TRPO"),
    (("clip_range",), "stable_baselines3", "PPO"),
    (("n_delta",), "sb3_contrib", "ARS"),
    (("gae_lambda",), "stable_baselines3", "A2C"),
)
"""A file does not name its algorithm; it has the algorithm's settings. The first row whose settings it has all."""

_INSTEAD: Final[dict[str, Any]] = {
    "_last_episode_starts": None, "_last_obs": None, "_last_original_obs": None, "action_noise": None, "buffer_size": 1,
    "clip_range": 0.2, "clip_range_vf": None, "delta_std_schedule": 0.05, "ep_info_buffer": None,
    "ep_success_buffer": None, "learning_rate": 0.0, "lr_schedule": 0.0, "replay_buffer_class": None,
    "replay_buffer_kwargs": {}, "rollout_buffer_class": None, "rollout_buffer_kwargs": {}, "target_entropy": 0.0,
    "train_freq": 1,
}  # fmt: skip
"""What acting does not need: replaced, so that files of the old gym and of old versions load, and no buffer is made."""


class TrustedController:
    """Acts by SB3's ``predict``. It has its own random stream, and leaves the global ones alone.

    Args:
        model: what SB3 loaded.
        mode: ``mean``: the deterministic action; ``sample``: with the noise it explored with.
    """

    def __init__(self, model: Any, mode: Literal["mean", "sample"] = "mean") -> None:
        self._model, self._mode = model, mode
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode: the same seed gives the same noise."""
        self._state: Any = None
        self._steps = 0
        seed = int(action_generator(seed).integers(1 << 62))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._stream = torch.get_rng_state()

    def act(self, observation: Array) -> Array:
        """The action for one observation [observation_size] float32; [action_size] float32, within the bounds."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._stream)
            self._draw_matrix()
            action, self._state = self._model.predict(
                observation,
                state=self._state,
                episode_start=np.array([self._steps == 0]),
                deterministic=self._mode == "mean",
            )
            self._stream = torch.get_rng_state()
        self._steps += 1
        return np.asarray(action, np.float32)

    def _draw_matrix(self) -> None:
        """GSDE's matrix is drawn for an episode, and again every ``sde_sample_freq`` steps."""
        every = self._model.sde_sample_freq
        if self._model.use_sde and (self._steps == 0 or (every > 0 and self._steps % every == 0)):
            self._model.policy.reset_noise()


def load_trusted(
    path: str | Path, mode: Literal["mean", "sample"] = "mean", *, env: EnvInfo | None = None
) -> tuple[TrustedController, ActionUnits]:
    """Let Stable-Baselines3 load a file, which may run anything that stands in it; else as :func:`load_sb3`.

    The spaces of ``env`` stand in for the file's, which may be those of the old gym.

    Raises:
        CheckpointError: Stable-Baselines3 is not installed, or cannot load the file, or the file belongs to another
            task.
    """
    path = Path(path)
    data = read_data(path)
    algorithm = _algorithm(path, data)
    custom = {name: value for name, value in _INSTEAD.items() if name in data}
    units = ActionUnits(None)
    if env is not None and env.units is not None:
        bounds, units = bounds_and_units(path, noted_bounds(data), env, env.action_size)
        observations, actions = box_spaces(env.observation_size, *bounds)
        custom |= {"observation_space": observations, "action_space": actions}
    _say(path, algorithm.__name__)
    try:
        with _chance_untouched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old versions, about what is replaced
            model = algorithm.load(path, device="cpu", custom_objects=custom)
            controller = TrustedController(model, mode)
            action = controller.act(np.zeros(model.observation_space.shape, np.float32))
    except Exception as error:
        raise CheckpointError(
            f"Stable-Baselines3 could not load {path}: {type(error).__name__}: {str(error).strip()[:300]}",
            "does it belong to this environment (--env), and to the installed version of Stable-Baselines3?",
        ) from error
    if env is not None and action.shape != (env.action_size,):
        raise CheckpointError(f"{path} gives actions of shape {action.shape}, {env.id} takes ({env.action_size},)")
    controller.reset(0)
    return controller, units


@cache
def _say(path: Path, name: str) -> None:
    """Once a process: a file is loaded for a check, and again for each worker."""
    _log.info("%s is loaded by Stable-Baselines3 as %s, which runs code of the file.", path, name)


def _algorithm(path: Path, data: Mapping[str, Any]) -> Any:
    found = [place for settings, *place in _ALGORITHMS if all(name in data for name in settings)]
    if not found:
        known = ", ".join(name for _, _, name in _ALGORITHMS)
        raise CheckpointError(f"{path} has no settings of an algorithm with continuous actions", f"known: {known}.")
    try:
        import sb3_contrib
        import stable_baselines3
    except ImportError as error:
        raise CheckpointError(
            f"{path} needs Stable-Baselines3 to load it: {error}", 'pip install "awac-tr[sb3]"'
        ) from error
    policy_class = data.get("policy_class")
    if isinstance(policy_class, dict) and "recurrent" in str(policy_class.get("__module__")):
        return sb3_contrib.RecurrentPPO
    home, name = found[0]
    return getattr(sb3_contrib if home == "sb3_contrib" else stable_baselines3, name)


@contextmanager
def _chance_untouched() -> Iterator[None]:
    """SB3 seeds every global random stream from the file."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002  (the global one is what is kept)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002
