"""How fast the machine multiplies matrices of the recipe's shape: what no update can beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

__all__ = ["Products"]

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Products:
    """A run of products [rows, n] x [n, m], as many as have about the operations of an update.

    Attributes:
        rows: B.
        layer: (n, m).
        repeats: products a step.
        precision: ``fp32`` or ``bf16``.
        device: where.
    """

    rows: int
    layer: tuple[int, int]
    repeats: int
    precision: str
    device: torch.device

    @classmethod
    def like_update(
        cls, rows: int, layer: tuple[int, int], flops: int, precision: str, device: torch.device
    ) -> Products:
        """As many products as an update of so many operations would be.

        Example:
            >>> Products.like_update(1024, (256, 256), 6_044_000_000, "fp32", torch.device("cpu")).repeats
            45
        """
        each = 2 * rows * layer[0] * layer[1]
        return cls(rows, layer, max(1, round(flops / each)), precision, device)

    @property
    def gflop(self) -> float:
        """10^9 operations of a step."""
        return 2e-9 * self.rows * self.layer[0] * self.layer[1] * self.repeats

    def step(self) -> Callable[[], None]:
        """The work, with its matrices made beforehand."""
        dtype = _DTYPES[self.precision]
        generator = torch.Generator(self.device).manual_seed(0)
        n, m = self.layer
        left = torch.randn(self.rows, n, generator=generator, device=self.device).to(dtype)
        right = torch.randn(n, m, generator=generator, device=self.device).to(dtype)
        out = torch.empty(self.rows, m, dtype=dtype, device=self.device)

        def multiply() -> None:
            for _ in range(self.repeats):
                torch.mm(left, right, out=out)

        return multiply
