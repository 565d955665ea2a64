"""What an update has to multiply, counted while a real learner makes one.

Products are what torch's own ``flop_registry`` knows (``mm``, ``addmm``, ``bmm``, ...): 2 r k c operations on floating
point for [r, k] x [k, c]. Everything else (activations, losses, Adam, the targets' step) is not a product and is not
counted: a share of the machine's limit that leaves it out can only be too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Shape", "count_products", "main_shape"]

Shape = tuple[int, int, int]
"""(r, k, c) of a product [r, k] x [k, c]."""


def count_products(update: Callable[[], object]) -> dict[Shape, int]:
    """Floating-point operations of an eager update by the shape of the product, the most expensive first.

    Args:
        update: makes it; not for the first time, since the first also makes what optimisers keep.

    Example:
        >>> layer = torch.nn.Linear(3, 5)
        >>> count_products(lambda: layer(torch.zeros(8, 3)))
        {(8, 3, 5): 240}
    """
    with _ProductCounter() as counter:
        update()
    return dict(counter.operations.most_common())


def main_shape(products: dict[Shape, int]) -> Shape:
    """The shape that most operations are spent in.

    Example:
        >>> main_shape({(8, 3, 5): 240, (8, 5, 5): 400})
        (8, 5, 5)
    """
    return max(products, key=lambda shape: products[shape])


class _ProductCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """``FlopCounterMode`` itself walks the modules, and breaks down on those of TensorDict."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.overloadpacket in flop_registry:
            left, right = [arg for arg in args if isinstance(arg, torch.Tensor)][-2:]
            shape = (int(left.shape[-2]), int(left.shape[-1]), int(right.shape[-1]))
            self.operations[shape] += flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)
        return out
