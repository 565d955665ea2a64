from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from awac_tr.evaluation.evaluator import Evaluator
from awac_tr.recipes.schema import EnvSection, EvalSection

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from awac_tr.envs.episode import Controller


def evaluate_policy(
    policy: nn.Module | Controller,
    env: str | EnvSection,
    *,
    check: Callable[[], None] | None = None,
    **settings: object,
) -> dict[str, float]:
    """One evaluation as a run does it, by keys of the recipe's section ``eval``."""
    with closing(Evaluator(EnvSection.of(env), EvalSection.model_validate(settings))) as evaluator:
        return evaluator.measure(policy, check)
