"""``info["success"]`` as a TorchRL key."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase
from torchrl.data import Binary, Composite
from torchrl.envs.gym_like import BaseInfoDictReader

__all__ = ["SuccessReader"]


class SuccessReader(BaseInfoDictReader):
    """Puts ``info["success"]`` under ``"success"``, bool [1] like the done flags.

    TorchRL's own reader wants numpy values and keeps them without the trailing dimension.
    """

    def __init__(self) -> None:
        self._spec = Composite(success=Binary(1, shape=(1,), dtype=torch.bool))

    def __call__(self, info_dict: dict[str, Any], tensordict: TensorDictBase) -> TensorDictBase:
        """Called by TorchRL with the info of a reset or a step."""
        success = torch.tensor([bool(info_dict.get("success", False))])
        return tensordict.set("success", success)

    @property
    def info_spec(self) -> Composite:
        """``success``, bool [1]."""
        return self._spec
