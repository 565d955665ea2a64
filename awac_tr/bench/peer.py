"""d3rlpy's form of a method on the recipe's shapes, batch and data: both are timed in one process, block by block."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from tensordict import TensorDictBase

from awac_tr.algorithms.peer_sizes import PeerSizes
from awac_tr.errors import AwacError
from awac_tr.keys import ACTION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.recipes.schema import Recipe

__all__ = ["PEERS", "PeerTasks", "d3rlpy_learner", "d3rlpy_tasks", "require_peer"]

PEERS: Final = ("d3rlpy",)
_HINT: Final = "nox -s bench makes an environment with it and runs this there (its requirements contradict ours)."


@dataclass(frozen=True)
class PeerTasks:
    """The peer, ready to be timed: sampling a batch and updating, or updating on one batch, drawn beforehand.

    The notes say in what its work differs from ours.
    """

    name: str
    version: str
    step: Callable[[], object]
    update: Callable[[], object]
    notes: tuple[str, ...]


def require_peer(name: str, recipe: Recipe) -> None:
    """Say at once what would only be found out after minutes.

    Raises:
        AwacError: the package is not installed here, or has nothing to compare with.
    """
    _module_of(recipe, name)
    if importlib.util.find_spec(name) is None:
        raise AwacError(f"{name} is not installed here", _HINT)


def _module_of(recipe: Recipe, name: str) -> Any:
    """``awac_tr/algorithms/NAME/peer.py``."""
    algorithm = recipe.algorithm.name
    module = f"awac_tr.algorithms.{algorithm}.peer"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise AwacError(f"{name} has nothing to compare {algorithm} with") from None


def d3rlpy_tasks(recipe: Recipe, transitions: TensorDictBase, batch_size: int, device: torch.device) -> PeerTasks:
    """Build d3rlpy's form of the recipe's algorithm with its sizes and rates, and give it the data.

    Raises:
        AwacError: it does not import, or has no such algorithm.
    """
    learner, dataset, version = d3rlpy_learner(recipe, transitions, batch_size, device)

    def step() -> object:
        return learner.update(dataset.sample_transition_batch(batch_size))

    batch = dataset.sample_transition_batch(batch_size)
    for _ in range(3):
        step()
    notes = _differences(_module_of(recipe, "d3rlpy").WORK, device)
    return PeerTasks("d3rlpy", version, step, lambda: learner.update(batch), notes)


def d3rlpy_learner(
    recipe: Recipe, transitions: TensorDictBase, batch_size: int, device: torch.device, **others: Any
) -> tuple[Any, Any, str]:
    """d3rlpy's form of the recipe's algorithm, its dataset of the transitions [N], and its version.

    Args:
        recipe: its sizes and rates are taken.
        transitions: in the order of their episodes.
        batch_size: of an update.
        device: where it learns.
        others: fields of its configuration to change.

    Raises:
        AwacError: it does not import, or has no such algorithm.
    """
    module = _module_of(recipe, "d3rlpy")
    with _quietly():
        d3rlpy = _import()
        config = module.config(d3rlpy, PeerSizes.of(d3rlpy, recipe, batch_size, device), recipe.algorithm)
        learner = replace(config, **others).create(device=f"{device.type}:{device.index or 0}")
        dataset = _dataset(d3rlpy, transitions)
        learner.build_with_dataset(dataset)
    return learner, dataset, d3rlpy.__version__


def _import() -> Any:
    compiled_autograd = torch._dynamo.config.compiled_autograd  # noqa: SLF001  (where torch keeps it)
    matmul_precision = torch.get_float32_matmul_precision()
    try:
        import d3rlpy  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise AwacError(f"d3rlpy is installed, but does not import: {error}", _HINT) from error
    # where there is a GPU, importing it changes settings of torch that would change our figures
    torch._dynamo.config.compiled_autograd = compiled_autograd  # noqa: SLF001
    torch.set_float32_matmul_precision(matmul_precision)
    return d3rlpy


def _dataset(d3rlpy: Any, transitions: TensorDictBase) -> Any:
    columns = (OBSERVATION, ACTION, REWARD, TERMINATED, TRUNCATED)
    observations, actions, rewards, terminals, timeouts = (transitions.get(key).cpu().numpy() for key in columns)
    return d3rlpy.dataset.MDPDataset(
        observations,
        actions,
        rewards,
        terminals[:, 0].astype("float32"),
        timeouts=timeouts[:, 0].astype("float32"),
        action_space=d3rlpy.ActionSpace.CONTINUOUS,
        action_size=actions.shape[1],
    )


def _differences(work: str, device: torch.device) -> tuple[str, ...]:
    notes = [f"d3rlpy {work}; it standardises no observations. Sizes, batch, learning rates and data are the same"]
    if device.type == "cpu":
        notes.append("d3rlpy compiles on GPUs only: on this processor it runs eagerly")
    return tuple(notes)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the announcements that it and gym make on stdout and stderr."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
