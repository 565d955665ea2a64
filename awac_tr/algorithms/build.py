"""From a recipe to its learner."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import torch

from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.parts import Parts

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from torch import Tensor

    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.recipes.schema import Recipe

__all__ = ["build_learner"]


def build_learner(
    recipe: Recipe,
    env: EnvInfo,
    statistics: Statistics | None,
    device: torch.device | str = "cpu",
    *,
    action_bounds: tuple[Tensor, Tensor] | None = None,
    initial_policy: Mapping[str, Tensor] | None = None,
    demonstrations: TensorDictBase | None = None,
) -> Learner:
    """Networks, loss and optimisers of a recipe; initial weights are drawn from torch's global generator.

    Args:
        recipe: the experiment.
        env: sizes and reward range of its environment.
        statistics: of the observations in the offline data, set into actor and critics; None: no standardisation.
        device: where the networks live.
        action_bounds: (low, high), each [action_size] float32; None: -1 and 1.
        initial_policy: tensors of a policy to start from, statistics included; None: random weights.
        demonstrations: all transitions [M] of demonstrations, where the algorithm needs them.

    Raises:
        CheckpointError: the initial policy's tensors do not fit the recipe's.
        RecipeError: the recipe asks for bounds on values that the environment cannot give.
    """
    config = recipe.algorithm
    module = import_module(f"awac_tr.algorithms.{config.name}.learner")
    parts = Parts(recipe, env, statistics, action_bounds, torch.device(device), initial_policy, demonstrations)
    learner: Learner = module.build(config, parts)
    return learner
