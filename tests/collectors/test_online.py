"""Rounds of online steps: what they hold, who took them, and which policy acted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.collectors.episodes import rollout
from awac_tr.collectors.online import OnlineCollector, episode_seed
from awac_tr.envs.make import make_env
from awac_tr.errors import AwacError, EnvError
from awac_tr.keys import ACTION, DONE, EPISODE, NEXT_OBSERVATION, OBSERVATION, REWARD, SUCCESS, TERMINATED, TRUNCATED
from awac_tr.models.build import build_policy
from awac_tr.policies.acting import RowPolicy
from awac_tr.recipes.schema import CollectSection, EnvSection, PolicySection
from awac_tr.training.state import kept

ENV = EnvSection(id="door-binary-v0", horizon=12)
ASYNC = CollectSection.model_validate({"async": True})
SEED = 11


def policy(**options: Any) -> Any:
    torch.manual_seed(7)
    return build_policy(PolicySection(hidden_sizes=(8,), **options), 39, 28)


def shift(module: Any) -> None:
    """As an update would change it."""
    with torch.no_grad():
        module[0].module.mlp.last.bias.add_(0.1)


class Noisy:
    """A controller: what the collector should have done, given its noise."""

    def __init__(self, module: Any, noise: np.ndarray) -> None:
        self.rows, self.noise = RowPolicy.of(module), iter(noise)

    def reset(self, seed: int) -> None:
        pass

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self.rows.act(observation, next(self.noise))


def equal(one: TensorDict, other: TensorDict) -> bool:
    assert set(one.keys(include_nested=True)) == set(other.keys(include_nested=True))
    return bool((one == other).all())


@pytest.fixture
def collector() -> Iterator[OnlineCollector]:
    with closing(OnlineCollector(ENV, policy(), seed=SEED)) as made:
        yield made


def test_keys_shapes_and_types(collector: OnlineCollector) -> None:
    data = collector.collect(15)
    flags = (TERMINATED, TRUNCATED, DONE, SUCCESS)
    kinds = dict.fromkeys(flags, torch.bool) | dict.fromkeys(
        (OBSERVATION, ACTION, REWARD, NEXT_OBSERVATION), torch.float32
    )
    kinds[EPISODE] = torch.int64
    leaves = set(data.keys(include_nested=True, leaves_only=True))
    assert leaves == set(kinds)
    assert {key: data[key].dtype for key in leaves} == kinds
    widths = {OBSERVATION: 39, NEXT_OBSERVATION: 39, ACTION: 28}
    assert all(data[key].shape == (15, widths.get(key, 1)) for key in leaves)
    assert data[TRUNCATED].nonzero()[:, 0].tolist() == [11]
    assert torch.equal(data[DONE], data[TERMINATED] | data[TRUNCATED])


@pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])
def test_episodes_go_on_between_rounds_and_are_those_of_the_policy(distribution: Any) -> None:
    module = policy(distribution=distribution, log_std_max=2.0, log_std_min=1.0)
    torch.manual_seed(3)
    with closing(OnlineCollector(ENV, module, seed=SEED)) as made:
        data = torch.cat([made.collect(5), made.collect(19)])
    torch.manual_seed(3)
    noise = torch.cat([torch.randn(5, 28), torch.randn(19, 28)]).numpy()
    env = make_env(ENV)
    for start in (0, 12):
        rows = slice(start, start + 12)
        episode = rollout(env, Noisy(module, noise[rows]), episode_seed(SEED, start))
        assert torch.equal(data[OBSERVATION][rows], torch.from_numpy(episode.observations))
        assert torch.equal(data[ACTION][rows], torch.from_numpy(episode.actions))
        assert torch.equal(data[NEXT_OBSERVATION][rows], torch.from_numpy(episode.next_observations))
    assert data[ACTION].abs().max() == (1.0 if distribution == "normal" else np.float32(1 - 1e-6))


def test_the_noise_is_torchs_global_generators_and_nothing_else_is_random(collector: OnlineCollector) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = collector.collect(12)
    torch.set_rng_state(state)
    with closing(OnlineCollector(ENV, policy(), seed=SEED)) as other:
        torch.set_rng_state(state)
        assert equal(first, other.collect(12))
        assert not equal(first, other.collect(12))


def test_a_resumed_collector_begins_an_episode_seeded_by_the_steps_before(collector: OnlineCollector) -> None:
    with closing(OnlineCollector(ENV, policy(), seed=SEED, env_step=20)) as resumed:
        first = resumed.collect(1)[OBSERVATION][0].numpy()
    expected, _ = make_env(ENV.id).reset(seed=episode_seed(SEED, 20))
    assert np.array_equal(first, expected)
    assert not np.array_equal(first, collector.collect(1)[OBSERVATION][0].numpy())


def test_a_policy_that_is_no_number_is_divergence() -> None:
    module = policy()
    with torch.no_grad():
        module[0].module.std_parameter[0] = torch.nan
    with closing(OnlineCollector(ENV, module, seed=SEED)) as made, pytest.raises(AwacError, match="diverged"):
        made.collect(2)


def rounds(how: CollectSection, *, stale: bool) -> list[TensorDict]:
    """Three rounds with an update after each; ``stale``: what a synchronous run with policies a round old would do."""
    module, collected = policy(), []
    with closing(OnlineCollector(ENV, module, seed=SEED, how=how)) as made:
        torch.manual_seed(9)
        for number in range(3):
            collected.append(made.collect(10, then=10 if number < 2 else 0))
            # a synchronous collector reads the weights after this, an asynchronous one has read them
            if not (stale and number == 0):
                shift(module)
    return collected


def test_asynchronous_rounds_act_with_the_policy_of_one_round_before() -> None:
    asynchronous = rounds(ASYNC, stale=False)
    again = rounds(ASYNC, stale=False)
    synchronous = rounds(CollectSection(), stale=False)
    delayed = rounds(CollectSection(), stale=True)
    assert all(equal(one, other) for one, other in zip(asynchronous, again, strict=True))
    assert equal(asynchronous[0], synchronous[0])
    assert not equal(asynchronous[1], synchronous[1])
    assert all(equal(one, other) for one, other in zip(asynchronous, delayed, strict=True))


def test_two_environments_side_by_side() -> None:
    module = policy()
    with closing(OnlineCollector(ENV, module, seed=SEED, how=CollectSection(workers=2))) as made:
        torch.manual_seed(3)
        data = made.collect(5)
        short = made.collect(1)  # not a step for everyone
    assert (data.shape, short.shape) == ((5,), (1,))
    torch.manual_seed(3)
    noise = torch.randn(5, 28).numpy()
    env = make_env(ENV)
    for rows, worker in ((slice(0, 3), 0), (slice(3, 5), 1)):
        padded = np.concatenate([noise[rows], np.zeros((12, 28), np.float32)])
        episode = rollout(env, Noisy(module, padded), episode_seed(SEED, 0, worker=worker))
        length = rows.stop - rows.start
        assert torch.equal(data[ACTION][rows], torch.from_numpy(episode.actions[:length]))
        assert torch.equal(data[NEXT_OBSERVATION][rows], torch.from_numpy(episode.next_observations[:length]))
    assert torch.equal(short[OBSERVATION][0], data[NEXT_OBSERVATION][2])
    first, second = data[EPISODE][0, 0], data[EPISODE][3, 0]
    assert first != second
    assert data[EPISODE][:, 0].tolist() == [first] * 3 + [second] * 2
    assert short[EPISODE][0, 0] == first


def children() -> set[int]:
    """Processes this one has started, the tracker of shared memory left out."""
    found = set()
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:  # noqa: PTH123
        for pid in map(int, file.read().split()):
            with open(f"/proc/{pid}/cmdline") as command:  # noqa: PTH123
                if "spawn_main" in command.read():
                    found.add(pid)
    return found


@pytest.mark.parametrize("how", [ASYNC, CollectSection(workers=2)])
def test_a_process_that_dies_is_replaced_and_its_steps_are_the_same(
    how: CollectSection, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed in the middle of a round, in the middle of an episode."""
    collected: list[list[TensorDict]] = []
    for killing in (False, True):
        before = children()
        with closing(OnlineCollector(ENV, policy(), seed=SEED, how=how)) as made:
            torch.manual_seed(9)
            rounds = [made.collect(7, then=2_000)]
            if killing:
                os.kill(max(children() - before), signal.SIGKILL)
            collected.append([*rounds, made.collect(2_000, then=5), made.collect(5)])
        assert children() == before
    assert all(equal(one, other) for one, other in zip(*collected, strict=True))
    assert "a worker process died" in caplog.text


@pytest.mark.parametrize("how", [CollectSection(), ASYNC, CollectSection(workers=2)])
@pytest.mark.parametrize("taken", [5, 12, 29])
def test_a_collector_goes_on_where_another_stopped(how: CollectSection, taken: int) -> None:
    """In the middle of episodes, and with a round begun ahead by a policy that has changed since."""
    module = policy()
    with closing(OnlineCollector(ENV, module, seed=SEED, how=how)) as first:
        torch.manual_seed(1)
        first.collect(taken, then=10)
        shift(module)
        state, random = kept(first.state_dict()), torch.get_rng_state()
        expected = [first.collect(10, then=4), first.collect(4)]
    with closing(OnlineCollector(ENV, module, seed=SEED, how=how, env_step=taken)) as second:
        second.load_state_dict(state)
        torch.set_rng_state(random)
        found = [second.collect(10, then=4), second.collect(4)]
    assert all(equal(one, other) for one, other in zip(expected, found, strict=True))


def test_episodes_dropped_are_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The reward is NaN where the pendulum stands upright, which some episodes meet."""
    Path("upright.py").write_text(
        "def rule(observation, action, next_observation, info):\n"
        "    return float('nan') if next_observation[0] > 0.7 else 0.0\n"
    )
    section = EnvSection(id="Pendulum-v1", horizon=20, reward="upright:rule")
    with closing(OnlineCollector(section, build_policy(PolicySection(hidden_sizes=(8,)), 3, 1), seed=SEED)) as made:
        data, dropped = zip(*[(made.collect(60), made.dropped) for _ in range(3)], strict=True)
    assert sum(dropped) == caplog.text.count("an episode was dropped: Pendulum-v1, episode seed") > 0
    assert all(bool((one[NEXT_OBSERVATION][:, 0] <= 0.7).all()) for one in data)
    assert [int(one[TRUNCATED].sum()) for one in data] == [3, 3, 3]


def test_what_goes_wrong_in_a_process_reaches_the_caller() -> None:
    wrong = EnvSection(id=ENV.id, kwargs={"hinges": 2})
    with closing(OnlineCollector(wrong, policy(), seed=SEED, how=ASYNC)) as made, pytest.raises(EnvError, match="made"):
        made.collect(3)
