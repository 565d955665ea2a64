"""The update as a CUDA graph; needs a GPU."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.gradient_learner import GradientLearner
from awac_tr.algorithms.hardware import cannot_compile
from awac_tr.envs.env_info import EnvInfo
from awac_tr.recipes.loader import recipe_from_dict

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: CUDA graphs are not tested")

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 5, 2)


def learner(*, compiled: bool) -> GradientLearner:
    sections = {"policy": {"hidden_sizes": [16]}, "qvalue": {"hidden_sizes": [16]}, "compile": compiled}
    task = {"name": "toy", "env": {"id": "toy"}, "data": {"datasets": ["toy"]}}
    torch.manual_seed(0)
    built = build_learner(
        recipe_from_dict({**task, **sections}), FACTS, Statistics(torch.zeros(5), torch.ones(5)), "cuda"
    )
    assert isinstance(built, GradientLearner)
    return built


def batch(seed: int) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    flags = torch.zeros(32, 1, dtype=torch.bool)
    following = {"observation": torch.randn(32, 5, generator=generator), "reward": -torch.ones(32, 1)}
    made = {
        "observation": torch.randn(32, 5, generator=generator),
        "action": torch.rand(32, 2, generator=generator) * 2 - 1,
        "next": {**following, "terminated": flags, "truncated": flags, "done": flags},
    }
    return TensorDict(made, batch_size=[32]).to("cuda")


def test_replays_do_what_the_update_does() -> None:
    reason = cannot_compile(torch.device("cuda"))
    if reason is not None:
        pytest.skip(reason)
    rows = []
    for made in (learner(compiled=True), learner(compiled=False)):
        torch.manual_seed(1)
        rows.append([{name: float(value) for name, value in made.update(batch(seed)).items()} for seed in range(12)])
    for mine, theirs in zip(*rows, strict=True):
        # the policy's samples differ: a recording draws from a stream of its own
        assert mine["loss_qvalue"] == pytest.approx(theirs["loss_qvalue"], rel=0.1)
