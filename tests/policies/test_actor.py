"""Anybody's policy acts: its randomness is a function of the noise it is given."""

from __future__ import annotations

import pickle
from contextlib import closing

import numpy as np
import pytest
import torch
from evaluating import evaluate_policy
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import NormalParamExtractor, ProbabilisticActor, TanhNormal

from awac_tr.collectors.online import OnlineCollector
from awac_tr.models.build import build_policy
from awac_tr.policies.acting import RowPolicy
from awac_tr.policies.actor import TensorDictActor, actor_of
from awac_tr.recipes.schema import EnvSection, PolicySection

ENV = EnvSection(id="Pendulum-v1", horizon=9)
OBSERVATIONS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def foreign() -> ProbabilisticActor:
    torch.manual_seed(2)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), NormalParamExtractor())
    module = TensorDictModule(network, in_keys=["observation"], out_keys=["loc", "scale"])
    return ProbabilisticActor(module, in_keys=["loc", "scale"], distribution_class=TanhNormal)


def test_a_policy_of_ours_gets_the_fast_one_and_an_actor_stays() -> None:
    found = actor_of(build_policy(PolicySection(hidden_sizes=(8,)), 3, 1))
    assert isinstance(found, RowPolicy)
    assert actor_of(found) is found
    with pytest.raises(TypeError):
        actor_of(torch.nn.Linear(3, 1))


def test_any_policy_acts_by_its_noise_alone() -> None:
    actor = actor_of(foreign())
    assert isinstance(actor, TensorDictActor)
    copied = pickle.loads(pickle.dumps(actor))  # noqa: S301  (our own)
    noise = np.random.default_rng(1).normal(size=(2, actor.noise_size)).astype(np.float32)
    before = torch.get_rng_state()
    one, again, other = (actor.act(OBSERVATIONS[0], row) for row in (noise[0], noise[0], noise[1]))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, copied.act(OBSERVATIONS[0], noise[0]))
    assert one != other
    assert not np.array_equal(one, actor.act(OBSERVATIONS[0]))


def test_without_noise_it_is_the_deterministic_action_also_of_batches() -> None:
    module = foreign()
    found = TensorDictActor(module).act(OBSERVATIONS)
    dist = module.get_dist(TensorDict({"observation": torch.from_numpy(OBSERVATIONS)}, [4]))
    np.testing.assert_allclose(found, dist.deterministic_sample.detach(), atol=1e-6)


def test_it_takes_online_steps_and_is_evaluated() -> None:
    rounds = []
    for _ in range(2):
        with closing(OnlineCollector(ENV, foreign(), seed=3)) as collector:
            torch.manual_seed(4)
            rounds.append(torch.cat([collector.collect(5), collector.collect(13)]))
    assert bool((rounds[0] == rounds[1]).all())
    assert rounds[0]["next", "done"].sum() == 2
    assert len(rounds[0]["action"].unique()) == 18
    measured = evaluate_policy(foreign(), ENV, episodes=2, seed=0, action="sample")
    assert measured == evaluate_policy(foreign(), ENV, episodes=2, seed=0, action="sample")
