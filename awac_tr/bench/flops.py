"""What an update has to multiply, counted while a real learner makes one, and how fast the machine multiplies that.

Products are what torch's own ``flop_registry`` knows (``mm``, ``addmm``, ``bmm``, ...): 2 r k c operations on floating
point for [r, k] x [k, c]. Everything else (activations, losses, Adam, the targets' step) is not a product and is not
counted: a share of the machine's limit that leaves it out can only be too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Products", "Shape", "count_products", "main_shape"]

Shape = tuple[int, int, int]
"""(r, k, c) of a product [r, k] x [k, c]."""

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


def count_products(update: Callable[[], object]) -> dict[Shape, int]:
    """Floating-point operations of an eager update by the shape of the product, the most expensive first.

    The update is not the first one, which also makes what optimisers keep.

    Example:
        >>> layer = torch.nn.Linear(3, 5)
        >>> count_products(lambda: layer(torch.zeros(8, 3)))
        {(8, 3, 5): 240}
    """
    with _ProductCounter() as counter:
        update()
    return dict(counter.operations.most_common())


def main_shape(products: dict[Shape, int]) -> Shape:
    """The shape that most operations are spent in."""
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


@dataclass(frozen=True)
class Products:
    """A run of ``repeats`` products of one shape: the limit that no update can beat."""

    shape: Shape
    repeats: int
    precision: str
    device: torch.device

    @classmethod
    def like_update(cls, shape: Shape, flops: int, precision: str, device: torch.device) -> Products:
        """As many products as an update of so many operations would be.

        Example:
            >>> Products.like_update((1024, 256, 256), 6_044_000_000, "fp32", torch.device("cpu")).repeats
            45
        """
        r, k, c = shape
        return cls(shape, max(1, round(flops / (2 * r * k * c))), precision, device)

    @property
    def gflop(self) -> float:
        """10^9 operations of a step."""
        r, k, c = self.shape
        return 2e-9 * r * k * c * self.repeats

    def step(self) -> Callable[[], None]:
        """The work, with its matrices made beforehand."""
        (r, k, c), dtype = self.shape, _DTYPES[self.precision]
        generator = torch.Generator(self.device).manual_seed(0)
        left = torch.randn(r, k, generator=generator, device=self.device).to(dtype)
        right = torch.randn(k, c, generator=generator, device=self.device).to(dtype)
        out = torch.empty(r, c, dtype=dtype, device=self.device)

        def multiply() -> None:
            for _ in range(self.repeats):
                torch.mm(left, right, out=out)

        return multiply
