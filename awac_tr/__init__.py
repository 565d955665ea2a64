"""AWAC (advantage-weighted actor-critic) as a TorchRL pipeline: collect, dataset, train, evaluate.

The public names below are imported when they are first asked for, so that ``import awac_tr`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from awac_tr.collect import collect as collect
    from awac_tr.data.reader import open_dataset as open_dataset
    from awac_tr.envs.make import make_env as make_env
    from awac_tr.evaluate import evaluate as evaluate
    from awac_tr.objectives.awac import AWACLoss as AWACLoss
    from awac_tr.objectives.bc import BCLoss as BCLoss
    from awac_tr.recipes.loader import load_recipe as load_recipe
    from awac_tr.training.loop import train as train

__version__ = "0.1.0"

_HOMES: Final = {
    "AWACLoss": "awac_tr.objectives.awac",
    "BCLoss": "awac_tr.objectives.bc",
    "collect": "awac_tr.collect",
    "evaluate": "awac_tr.evaluate",
    "load_recipe": "awac_tr.recipes.loader",
    "make_env": "awac_tr.envs.make",
    "open_dataset": "awac_tr.data.reader",
    "train": "awac_tr.training.loop",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  (the keys are strings)


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


# gymnasium.make("awac_tr:door-binary-v0") imports this module and then looks the id up: it must be registered by now.
if "gymnasium" in sys.modules:
    from awac_tr.envs import register

    register()
