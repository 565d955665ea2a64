"""The keys of SAC, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from awac_tr.algorithms.config import EntropyConfig, Needs

__all__ = ["SACConfig"]

_AUTHORS: Final[dict[str, Any]] = {"qvalue": {"hidden_sizes": [256, 256]}, "offline": {"batch_size": 128}}


class SACConfig(EntropyConfig):
    """Soft actor-critic; how it begins is what the AWAC paper compares."""

    name: Literal["sac"] = "sac"
    preset: Annotated[
        Literal["scratch", "prior", "pretrain", "authors", "authors-mujoco"],
        Field(description="scratch, prior, pretrain: as start; authors, authors-mujoco: prior, by the paper's scripts"),
    ] = "prior"
    start: Annotated[
        Literal["scratch", "prior", "pretrain"],
        Field(
            description="scratch: an empty buffer, no offline phase; prior: all data, and updates on it; pretrain: all"
            " data, and the policy clones the demonstrations in the offline phase, critics untouched"
        ),
    ] = "prior"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scratch": {"algorithm": {"start": "scratch"}, "offline": {"updates": 0}},
        "prior": {},
        "pretrain": {"algorithm": {"start": "pretrain"}},
        "authors": {
            **_AUTHORS,
            "algorithm": {"alpha": 0.0, "tune_alpha": False, "value_bounds": [None, 0.0], "ignore_terminals": True},
        },
        "authors-mujoco": {
            "qvalue": _AUTHORS["qvalue"],
            "policy": {"std": "dependent"},
            "offline": {**_AUTHORS["offline"], "updates": 0},
        },
    }

    def needs(self) -> Needs:
        """By the start: no offline data, or demonstrations to clone."""
        return Needs(
            offline=None if self.start == "scratch" else "transitions", demonstrations=self.start == "pretrain"
        )
