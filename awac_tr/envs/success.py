"""What stands in ``info`` and a learner wants, as TorchRL keys: success, and the goal that was achieved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase
from torchrl.data import Binary, Composite, Unbounded
from torchrl.envs.gym_like import BaseInfoDictReader

from awac_tr.keys import ACHIEVED_GOAL

__all__ = ["InfoReader"]


class InfoReader(BaseInfoDictReader):
    """Puts ``info["success"]`` under ``"success"``, bool [1] like the done flags, and goals under ``"achieved_goal"``.

    TorchRL's own reader wants numpy values and keeps them without the trailing dimension. Without goals,
    ``goal_size`` is 0.
    """

    def __init__(self, *, success: bool, goal_size: int) -> None:
        self._success, self._goal_size = success, goal_size
        self._spec = Composite()
        if success:
            self._spec["success"] = Binary(1, shape=(1,), dtype=torch.bool)
        if goal_size:
            self._spec[ACHIEVED_GOAL] = Unbounded(shape=(goal_size,), dtype=torch.float32)

    def __call__(self, info_dict: dict[str, Any], tensordict: TensorDictBase) -> TensorDictBase:
        """Called by TorchRL with the info of a reset or a step."""
        if self._success:
            tensordict.set("success", torch.tensor([bool(info_dict.get("success", False))]))
        if self._goal_size:
            goal = np.array(info_dict[ACHIEVED_GOAL], np.float32)  # a copy: it may be written over
            tensordict.set(ACHIEVED_GOAL, torch.from_numpy(goal))
        return tensordict

    @property
    def info_spec(self) -> Composite:
        """``success``, bool [1], and ``achieved_goal``, float32 [g], where there are such."""
        return self._spec
