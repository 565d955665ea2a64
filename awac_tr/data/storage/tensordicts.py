"""Arrays as they are named on disk, as a TensorDict with the keys of memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from awac_tr.keys import DISK_TO_MEMORY, DONE, TERMINATED, TRUNCATED

__all__ = ["as_tensordict"]


def as_tensordict(arrays: Mapping[str, np.ndarray[Any, Any]]) -> TensorDict:
    """The one place where disk names become memory keys; columns get a last axis of 1."""
    batch = TensorDict({}, batch_size=[len(arrays["rewards"])])
    for name, key in DISK_TO_MEMORY.items():
        tensor = torch.from_numpy(arrays[name])
        batch.set(key, tensor if tensor.ndim > 1 else tensor.unsqueeze(-1))
    batch.set(DONE, batch.get(TERMINATED) | batch.get(TRUNCATED))
    return batch
