"""The verb ``collect``: datasets from packaged demonstrators, clones, noise and policies, and from dataset cards."""

from __future__ import annotations

from awac_tr.collect.datasets import collect, ensure_datasets, plan_of_card
from awac_tr.collect.plan import SOURCES, Plan, plan
from awac_tr.collect.report import CollectProgress, CollectReport
from awac_tr.collect.unfinished import CollectInterrupted

__all__ = [
    "SOURCES",
    "CollectInterrupted",
    "CollectProgress",
    "CollectReport",
    "Plan",
    "collect",
    "ensure_datasets",
    "plan",
    "plan_of_card",
]
