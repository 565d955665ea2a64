"""Adam in one fused kernel a group, and the steps of it without Python's share."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["AdamSteps", "adam", "load_adam"]


def adam(*groups: tuple[Iterable[torch.nn.Parameter], float, float]) -> torch.optim.Adam:
    """One fused Adam over parameter groups.

    Weight decay is added to the gradient (L2), as in the authors' code; not decoupled.

    Args:
        *groups: (parameters, learning rate, weight decay) each.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> [group["weight_decay"] for group in adam((layer.parameters(), 3e-4, 1e-4)).param_groups]
        [0.0001]
    """
    made: list[dict[str, Any]] = [
        {"params": list(parameters), "lr": lr, "weight_decay": decay} for parameters, lr, decay in groups
    ]
    on_gpu = any(parameter.is_cuda for group in made for parameter in group["params"])
    return torch.optim.Adam(made, fused=True, capturable=on_gpu)


def load_adam(optimizer: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Take up the state of another one, perhaps from another device, without sharing its tensors."""
    own = [group["capturable"] for group in optimizer.param_groups]
    optimizer.load_state_dict(copy.deepcopy(state))
    for group, capturable in zip(optimizer.param_groups, own, strict=True):
        group["capturable"] = capturable


class AdamSteps:
    """Steps of an optimiser that :func:`adam` made, by the same kernel, without gathering its tensors every time.

    Gathering takes 0.5 ms a step for policy and critics of five layers, a thirtieth of an update in bf16.

    Args:
        optimizer: keeps the state; its hyperparameters are read when its tensors are gathered.
    """

    def __init__(self, optimizer: torch.optim.Adam) -> None:
        self._optimizer = optimizer
        self._gathered: list[tuple[dict[str, Any], list[list[Tensor]]]] = []

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Make a step.

        Args:
            gradients: of each parameter, in the order of the groups, laid out in memory as it is.
        """
        if not self._gathered:
            self._first(gradients)
            return
        start = 0
        with torch.no_grad():
            for options, (parameters, averages, squares, steps) in self._gathered:
                own = list(gradients[start : start + len(parameters)])
                start += len(parameters)
                torch._foreach_add_(steps, 1)
                torch._fused_adam_(parameters, own, averages, squares, [], steps, **options)

    def forget(self) -> None:
        """Gather the tensors anew at the next step: the optimiser's state has been replaced."""
        self._gathered = []

    def _first(self, gradients: Sequence[Tensor]) -> None:
        """A step by torch's own hand, which makes the state where there is none."""
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._gathered = [self._gather(group) for group in self._optimizer.param_groups]

    def _gather(self, group: dict[str, Any]) -> tuple[dict[str, Any], list[list[Tensor]]]:
        states = [self._optimizer.state[parameter] for parameter in group["params"]]
        tensors = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")]
        beta1, beta2 = group["betas"]
        options = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
        return {**options, "beta1": beta1, "beta2": beta2}, [list(group["params"]), *tensors]
