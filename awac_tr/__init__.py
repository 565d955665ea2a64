"""AWAC (advantage-weighted actor-critic) as a TorchRL pipeline: collect, dataset, train, evaluate.

The public names below are imported when they are first asked for, so that ``import awac_tr`` costs next to nothing.
The verbs are not among them, since a module has that name already: ``from awac_tr.collect import collect``,
``from awac_tr.evaluation.evaluate import evaluate``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final

from awac_tr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from awac_tr.buffers.buffer import load_transitions as load_transitions
    from awac_tr.data.storage.reader import open_dataset as open_dataset
    from awac_tr.envs.make import make_env as make_env
    from awac_tr.errors import AwacError as AwacError
    from awac_tr.objectives.awac import AWACLoss as AWACLoss
    from awac_tr.objectives.bc import BCLoss as BCLoss
    from awac_tr.policies.checkpoint import load_policy as load_policy
    from awac_tr.recipes.environment import EnvSection as EnvSection
    from awac_tr.recipes.loader import load_recipe as load_recipe
    from awac_tr.training.train import train as train

__version__ = "0.2.0"

_HOMES: Final = {
    "AWACLoss": "awac_tr.objectives.awac",
    "AwacError": "awac_tr.errors",
    "BCLoss": "awac_tr.objectives.bc",
    "EnvSection": "awac_tr.recipes.environment",
    "load_policy": "awac_tr.policies.checkpoint",
    "load_recipe": "awac_tr.recipes.loader",
    "load_transitions": "awac_tr.buffers.buffer",
    "make_env": "awac_tr.envs.make",
    "open_dataset": "awac_tr.data.storage.reader",
    "train": "awac_tr.training.train",
}

__all__ = ["__version__"]
__all__ += list(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)


class _RegisterAfterGymnasium:
    """Registers our environments as soon as somebody imports gymnasium, and steps aside.

    ``gymnasium.make("awac_tr:door-binary-v0")`` imports this module, which does nothing where it is loaded already.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """The specification the other finders give, with our registration after the module's own code."""
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                import_module("awac_tr.envs")

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if "gymnasium" in sys.modules:
    import_module("awac_tr.envs")
else:
    sys.meta_path.insert(0, _RegisterAfterGymnasium())
