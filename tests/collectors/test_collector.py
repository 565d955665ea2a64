"""The fast path gives what TorchRL's slow one gives; rounds of steps are what whole episodes are, cut elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector, MultiSyncCollector
from torchrl.envs import StepCounter, TransformedEnv
from torchrl.envs.utils import ExplorationType

from awac_tr.collectors.collector import ActorModule, FastCollector
from awac_tr.collectors.episodes import rollout
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.errors import EnvError
from awac_tr.models.build import build_policy
from awac_tr.recipes.schema import EnvSection, PolicySection

SEVEN = (
    "pen-binary-v0",
    "door-binary-v0",
    "relocate-binary-v0",
    "SawyerPush-v0",
    "HalfCheetah-v5",
    "Walker2d-v5",
    "Ant-v5",
)
HORIZON = 12
STEPS = 2 * HORIZON + 6
OPTIONS: dict[str, Any] = {"trust_policy": True, "auto_register_policy_transforms": False}
IDS = ("collector", "traj_ids")


def policy(section: EnvSection) -> Any:
    """Its noise passes the bounds often."""
    facts = env_info(section)
    torch.manual_seed(7)
    options = PolicySection(hidden_sizes=(8,), log_std_min=0.5, log_std_max=1.0)
    return build_policy(options, facts.observation_size, facts.action_size)


def within_bounds(section: EnvSection, acting: Any = None) -> ActorModule:
    space: Any = make_env(section).action_space
    return ActorModule(policy(section) if acting is None else acting, space.low, space.high)


def made(kind: type[Collector], section: EnvSection, **options: Any) -> Collector:
    env, acting = make_torchrl_env(section), within_bounds(section)
    env.set_seed(3)
    if kind is Collector:
        options["pre_collect_hook"] = partial(acting.begin, STEPS)
    return kind(env, acting, frames_per_batch=STEPS, total_frames=-1, **OPTIONS, **options)


def require_equal(one: TensorDictBase, other: TensorDictBase) -> None:
    assert set(one.keys(True, True)) == set(other.keys(True, True))
    assert (one.names, one.batch_size, one.device) == (other.names, other.batch_size, other.device)
    for key in one.keys(True, True):
        assert one[key].dtype == other[key].dtype, key
        assert torch.equal(one[key], other[key]), key


@pytest.mark.parametrize("exploration", [ExplorationType.RANDOM, ExplorationType.DETERMINISTIC])
@pytest.mark.parametrize("env_id", SEVEN)
def test_every_key_is_that_of_torchrls_slow_path(env_id: str, exploration: ExplorationType) -> None:
    """Over borders of episodes and of rollouts; the first two of these tasks clip, the last ones also terminate."""
    section = EnvSection(id=env_id, horizon=HORIZON)
    collectors = [made(kind, section, exploration_type=exploration) for kind in (FastCollector, Collector)]
    rounds = [iter(collector) for collector in collectors]
    for number in range(2):
        found = []
        for one in rounds:
            torch.manual_seed(number)
            found.append(next(one))
        require_equal(*found)
    assert found[0]["next", "done"].any()
    for collector in collectors:
        collector.shutdown()


def test_terminations_are_those_of_the_slow_path(toy: str) -> None:
    """Also with goals neither told nor reached, and an environment that hands out one array again and again."""
    section = EnvSection(id=toy, kwargs={"terminate_at": 3})
    found = [next(iter(made(kind, section))) for kind in (FastCollector, Collector)]
    np.testing.assert_array_equal(found[0]["next", "terminated"], found[1]["next", "terminated"])
    assert found[0]["next", "terminated"][:, 0].tolist() == [False, False, True] * (STEPS // 3)
    assert found[0][IDS].tolist() == found[1][IDS].tolist()
    assert found[0]["observation"][:6, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_goals_are_those_of_the_slow_path(goal_point: str) -> None:
    section, found = EnvSection(id=goal_point), []
    for kind in (FastCollector, Collector):
        collector = made(kind, section)
        torch.manual_seed(0)
        found.append(next(iter(collector)))
    require_equal(*found)
    assert "achieved_goal" in found[0]


def test_other_environments_and_policies_take_the_slow_path() -> None:
    section = EnvSection(id="Pendulum-v1", horizon=HORIZON)
    counted = TransformedEnv(make_torchrl_env(section), StepCounter())
    plain = TensorDictModule(torch.nn.Linear(3, 1), in_keys=["observation"], out_keys=["action"])
    for env, acting, key in (
        (counted, within_bounds(section), "step_count"),
        (make_torchrl_env(section), plain, "action"),
    ):
        collector = FastCollector(env, acting, frames_per_batch=STEPS, total_frames=STEPS, **OPTIONS)
        (found,) = list(collector)
        assert found[key].shape == (STEPS, 1)
        with pytest.raises(TypeError, match="no fast path"):
            _ = collector.episode_state


def test_weights_that_are_sent_act_in_the_next_rollout() -> None:
    section = EnvSection(id="Pendulum-v1", horizon=HORIZON)
    collector = made(FastCollector, section, exploration_type=ExplorationType.DETERMINISTIC)
    rounds = iter(collector)
    still = next(rounds)
    other = within_bounds(section)
    with torch.no_grad():
        other.policy[0].module.mlp.last.bias.fill_(30.0)
    collector.update_policy_weights_(TensorDict.from_module(other).data)
    assert not torch.equal(next(rounds)["action"], still["action"])
    assert (next(rounds)["action"] == 1).all()


def test_a_seed_begins_an_episode() -> None:
    collector = made(FastCollector, EnvSection(id="Pendulum-v1", horizon=HORIZON))
    starts = []
    for _ in range(2):
        collector.set_seed(17)
        starts.append(next(iter(collector))["observation"])
    assert torch.equal(starts[0][0], starts[1][0])
    expected, _ = make_env("Pendulum-v1").reset(seed=17)
    np.testing.assert_array_equal(starts[0][0], expected)


@pytest.mark.parametrize(("workers", "seeded"), [(2, False), (1, True)])
def test_torchrls_processes_take_it(workers: int, seeded: bool) -> None:
    section = EnvSection(id="Pendulum-v1", horizon=HORIZON)
    collector = MultiSyncCollector(
        [partial(make_torchrl_env, section, success=False)] * workers,
        within_bounds(section),
        collector_class=partial(FastCollector, seed_at=seed_at) if seeded else FastCollector,
        frames_per_batch=STEPS * workers,
        total_frames=-1,
        cat_results=0,
        **OPTIONS,
    )
    try:
        collector.set_seed(5)
        rounds = iter(collector)
        first, state = next(rounds).clone(), collector.state_dict()
        second = next(rounds)[:1].clone()
        collector.load_state_dict(state)
        again = next(rounds)[:1].clone()
    finally:
        collector.shutdown()
    assert first.shape == (STEPS * workers,)
    assert torch.equal(second["observation"][0], first["next", "observation"][STEPS - 1])
    following = (first["next", "observation"][:-1] == first["observation"][1:]).all(-1)
    border = first["next", "done"][:-1, 0].clone()
    border[STEPS - 1 :: STEPS] = True
    assert bool((following | border).all())
    assert len(first[IDS].unique()) == 3 * workers
    if seeded:
        expected, _ = make_env("Pendulum-v1").reset(seed=seed_at(0))
        np.testing.assert_array_equal(first["observation"][0], expected)
        assert torch.equal(again["observation"], second["observation"])


class Noise:
    """Plays the noise, three times as wide as the bounds."""

    noise_size = 2

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        assert observation.dtype == np.float32
        return 3 * noise


class Replay:
    """Gives actions one after the other; a controller."""

    def __init__(self, actions: np.ndarray) -> None:
        self._actions = iter(actions)

    def reset(self, seed: int) -> None:
        pass

    def act(self, observation: np.ndarray) -> np.ndarray:
        return next(self._actions)


def noise(rows: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, size)).astype(np.float32)


def seed_at(step: int, failures: int = 0) -> int:
    return 100 + step


def stepped(section: str | EnvSection, seeds: Callable[[int, int], int] = seed_at) -> FastCollector:
    return FastCollector(
        make_torchrl_env(section, success=True), ActorModule(Noise()), seed_at=seeds, frames_per_batch=1, **OPTIONS
    )


def take(collector: FastCollector, drawn: np.ndarray, begin: int) -> TensorDictBase:
    return collector.take(Noise(), drawn, begin=begin).clone()


def counts(rows: TensorDictBase) -> list[float]:
    found: list[float] = rows["observation"][:, 0].tolist()
    return found


def test_rounds_join_into_the_episodes_of_our_own_rollout(task: str) -> None:
    section = EnvSection(id=f"{task}-binary-v0", horizon=HORIZON)
    env = make_env(section)
    drawn = noise(3 * HORIZON, env.action_space.shape[0])
    collector = stepped(section)
    borders = [0, 5, 6, 20, 3 * HORIZON]
    whole = torch.cat([take(collector, drawn[begin:end], begin) for begin, end in pairwise(borders)])
    collector.shutdown()
    assert (whole["action"].abs() == 1).float().mean() > 0.5  # clipped ones are kept
    for start in range(0, 3 * HORIZON, HORIZON):
        rows = whole[start : start + HORIZON]
        episode = rollout(env, Replay(3 * drawn[start : start + HORIZON]), seed_at(start))
        for key, name in (("observation", "observations"), ("action", "actions")):
            np.testing.assert_array_equal(rows[key], getattr(episode, name), err_msg=name)
        for key, name in (("reward", "rewards"), ("terminated", "terminals"), ("truncated", "timeouts")):
            np.testing.assert_array_equal(rows["next", key][:, 0], getattr(episode, name), err_msg=name)
        np.testing.assert_array_equal(rows["next", "observation"], episode.next_observations)
        np.testing.assert_array_equal(rows["next", "success"][:, 0], episode.infos["success"])


def test_silence_about_success_is_noticed(toy: str) -> None:
    collector = stepped(EnvSection(id=toy))
    take(collector, noise(7, 2), 0)
    assert not collector.tells_success


def test_an_episode_that_fails_is_dropped_and_another_takes_its_steps(toy: str) -> None:
    """The third reset of the environment gives an episode that breaks at its second step."""
    collector = stepped(EnvSection(id=toy, kwargs={"trouble": Trouble(resets=(3,))}))
    rows = take(collector, noise(15, 2), 0)
    assert collector.dropped == ["toy-v0, episode seed 110, step 1: the reward is nan"]
    assert counts(rows) == [0, 1, 2, 3, 4] * 3
    assert rows[IDS].tolist() == [0] * 5 + [5] * 5 + [10] * 5
    take(collector, noise(5, 2), 15)
    assert collector.dropped == []


def test_what_fails_in_a_later_round_costs_that_round_only(toy: str) -> None:
    collector = stepped(EnvSection(id=toy, kwargs={"trouble": Trouble(resets=(1,), step=4)}))
    before = take(collector, noise(2, 2), 0)
    assert collector.dropped == []
    after = take(collector, noise(6, 2), 2)
    assert len(collector.dropped) == 1
    assert counts(before) == [0, 1]
    assert counts(after) == [0, 1, 2, 3, 4, 0]
    assert after[IDS].tolist() == [2] * 5 + [7]


def test_episodes_that_fail_in_a_row_are_an_error_that_names_the_last_seed(toy: str) -> None:
    trouble = {"trouble": Trouble(resets=range(99))}
    collector = stepped(EnvSection(id=toy, kwargs=trouble), lambda step, failures: step + 1000 * failures)
    with pytest.raises(EnvError, match="4 episodes in a row failed; the last: toy-v0, episode seed 3040, step 1: the"):
        take(collector, noise(5, 2), 40)


class Trouble:
    """A reward that is NaN at one step of the episodes begun by certain resets."""

    def __init__(self, resets: Iterable[int], step: int = 2) -> None:
        self._resets, self._step, self._episode = set(resets), step, 0

    def __call__(self, count: int) -> float:
        self._episode += count == 1
        return float("nan") if count == self._step and self._episode in self._resets else 0.0


@pytest.mark.parametrize("taken", [1, 5, 11, HORIZON, HORIZON + 3])
def test_an_environment_gets_back_into_the_middle_of_its_episode(task: str, taken: int) -> None:
    """To the last bit, time limit included; with the state as a checkpoint would keep it."""
    section = EnvSection(id=f"{task}-binary-v0", horizon=HORIZON)
    first, second = stepped(section), stepped(section)
    drawn = noise(3 * HORIZON, make_env(section).action_space.shape[0])
    take(first, drawn[:taken], 0)
    assert second.restore(pickle.loads(pickle.dumps(first.episode_state)))  # noqa: S301
    assert second.episode_state.equals(first.episode_state)
    require_equal(*(take(collector, drawn[taken:], taken) for collector in (first, second)))


def test_torchrls_state_dict_leads_back_into_the_episode(tmp_path: Path) -> None:
    section = EnvSection(id="Pendulum-v1", horizon=HORIZON)
    first, second = made(FastCollector, section), made(FastCollector, section)
    first.set_seed(9)
    first.frames_per_batch = second.frames_per_batch = 5
    with closing(iter(first)) as rounds:
        next(rounds)
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        torch.manual_seed(1)
        expected = next(rounds)
    torch.manual_seed(1)
    found = next(iter(second))
    for key in ("observation", "action", ("next", "observation"), ("next", "reward"), IDS):
        assert torch.equal(found[key], expected[key]), key


def test_a_simulator_that_does_not_repeat_itself_is_noticed(toy: str) -> None:
    collector = stepped(toy)
    take(collector, noise(3, 2), 0)
    state = collector.episode_state
    assert stepped(toy).restore(state)
    other = stepped(toy)
    assert not other.restore(state._replace(observation=state.observation + 1))
    assert not other.restore(state._replace(actions=np.zeros((9, 2), np.float32)))  # beyond the horizon of 5
    assert counts(take(other, noise(2, 2), 3)) == [0, 1]
