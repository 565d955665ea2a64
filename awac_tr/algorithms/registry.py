"""The algorithms: one line each. Plain data; modules are imported when they are asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from awac_tr.algorithms.config import AlgorithmConfig

__all__ = ["ALGORITHMS", "config_class"]

ALGORITHMS: Final[dict[str, str]] = {
    "abm": "ABMConfig",
    "awac": "AWACConfig",
    "awr": "AWRConfig",
    "bc": "BCConfig",
    "bcq": "BCQConfig",
    "bear": "BEARConfig",
    "dapg": "DAPGConfig",
    "brac": "BRACConfig",
    "iql": "IQLConfig",
    "mpo": "MPOConfig",
    "sac": "SACConfig",
    "sac_bc": "SACBCConfig",
}
"""Name, which is also the folder beside this file -> the class in its ``config.py``.

``learner.py`` in the same folder has ``build(config, parts) -> Learner``.
"""


@cache
def config_class(name: str) -> type[AlgorithmConfig]:
    """The recipe section of an algorithm; does not import torch.

    Raises:
        KeyError: there is no such algorithm.

    >>> config_class("awac").model_fields["temperature"].default
    0.3
    """
    found: type[AlgorithmConfig] = getattr(import_module(f"awac_tr.algorithms.{name}.config"), ALGORITHMS[name])
    return found
