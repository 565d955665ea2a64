"""Clean data: real plays of real environments by several policies, and human demonstrations."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.collectors.episodes import rollout
from awac_tr.envs.episode import Controller, Episode
from awac_tr.envs.goals import door_reward
from awac_tr.envs.make import horizon_of, make_env
from awac_tr.policies.controllers import NoisyController, load_controller
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.policies.noise import OUController, RandomController

Array = np.ndarray[Any, Any]
Random = np.random.Generator

ROWS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
EPISODE, FRAME = "_episode", "_frame"
"""Columns that say which episode a row belongs to for its recorder, and which of its rows it is."""
MOST_ROWS, MOST_EPISODES = 2000, 40
HUMAN = Path(__file__).parents[4] / "shared" / "data" / "demos" / "door-v0_demos.pickle"

PLAYS = {
    "Pendulum-v1": {"random": 30, "ou": 30},
    "MountainCarContinuous-v0": {"ou": 6, "pump": 24},
    "Hopper-v5": {"random": 120, "ou": 80},
    "Walker2d-v5": {"random": 80, "ou": 40, "demonstrator": 6},
    "InvertedPendulum-v5": {"random": 80, "ou": 40},
    "door-binary-v0": {"random": 12, "ou": 12, "demonstrator": 24},
    "FetchReach-v4": {"random": 40, "ou": 40},
}
"""Environment -> policy -> episodes played."""
SMALL = {"Pendulum-v1": {"random": 8}, "Hopper-v5": {"random": 30}, "door-binary-v0": {"demonstrator": 6}}


@dataclass
class Data:
    """What a recorder holds before it writes a file, and what it will say about it.

    Args:
        arrays: name -> rows [N, ...]: the six of format 1, ``infos/NAME``, and the two that say where a row belongs.
        env_id: environment of the plays.
        horizon: of the environment.
        low, high: action bounds [a].
        source: how the rows came about.
        named: the file, or whoever imports it, names the environment.
        said: what is said about the data where it is not the truth.
        edits: what goes wrong with whole arrays while they are written.
        undetectable: formats in which nothing could find the defect, by a rule that knows the clean data only.
    """

    arrays: dict[str, Array]
    env_id: str
    horizon: int
    low: Array
    high: Array
    source: str = "policy"
    named: bool = True
    said: dict[str, Any] = field(default_factory=dict)
    edits: list[Any] = field(default_factory=list)
    undetectable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrays[EPISODE])

    @property
    def starts(self) -> Array:
        """The first row of every episode, [E]."""
        return np.flatnonzero(np.diff(self.arrays[EPISODE], prepend=-1) != 0)

    @property
    def ends(self) -> Array:
        """The last row of every episode, [E]."""
        return np.append(self.starts[1:], len(self))[: len(self)] - 1

    def copy(self) -> Data:
        """One that may be spoiled."""
        return deepcopy(self)


class Pump:
    """Drives the mountain car to its goal: pushes the way it rolls, with noise."""

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def act(self, observation: Array) -> Array:
        push = 0.7 * np.sign(observation[1:2]) + self._random.normal(0, 0.2, 1)
        return np.asarray(push, np.float32)


def controller_of(policy: str, env_id: str, env: Any, rng: Random) -> Controller:
    """Who plays."""
    low, high = env.action_space.low, env.action_space.high
    if policy == "random":
        return RandomController(low, high)
    if policy == "ou":
        return OUController(low, high, theta=rng.uniform(0.05, 0.3), sigma=rng.uniform(0.1, 0.3))
    if policy == "pump":
        return Pump()
    network = load_controller(demonstrator_path(env_id))
    return NoisyController(network, rng.uniform(0.02, 0.2))


def play(plays: dict[str, dict[str, int]], rng: Random) -> dict[str, list[Episode]]:
    """The pool: environment -> episodes."""
    pool: dict[str, list[Episode]] = {}
    for env_id, policies in plays.items():
        env = make_env(env_id)
        for policy, count in policies.items():
            for seed in rng.integers(1 << 30, size=count):
                actor = controller_of(policy, env_id, env, rng)
                pool.setdefault(f"{env_id} {policy}", []).append(rollout(env, actor, int(seed)))
        env.close()
    return pool


def human() -> list[Episode]:
    """The demonstrations of the door by people, as our format holds them; none, said aloud, where they are absent."""
    if not HUMAN.is_file():
        print(f"no human demonstrations: {HUMAN} is absent")  # noqa: T201
        return []
    with HUMAN.open("rb") as file:
        paths = pickle.load(file)  # noqa: S301  (shipped beside the checkout)
    return [_human(path) for path in paths]


def _human(path: dict[str, Any]) -> Episode:
    states = np.asarray(path["observations"], np.float32)
    actions = np.clip(np.asarray(path["actions"], np.float32)[:-1], -1, 1)
    rewards = door_reward(states[1:]).astype(np.float32)
    last = np.arange(len(rewards)) == len(rewards) - 1
    infos = {"success": rewards == 0}
    return Episode(states[:-1], actions, rewards, states[1:], np.zeros_like(last), last, infos, -1)


class Clean:
    """Draws clean datasets from a pool of plays.

    Args:
        rng: of the plays and of the draws.
        plays: what is played.
    """

    def __init__(self, rng: Random, plays: dict[str, dict[str, int]] | None = None) -> None:
        self._rng = rng
        self._pool = play(plays or PLAYS, rng)
        if found := human():
            self._pool["door-binary-v0 human"] = found
        self._facts: dict[str, tuple[int, Array, Array]] = {}

    def draw(self, env_id: str = "") -> Data:
        """A random number of random episodes of one environment, by one policy or by several."""
        names = sorted({key.split()[0] for key in self._pool})
        env_id = env_id or str(self._rng.choice(names))
        groups = [episodes for key, episodes in self._pool.items() if key.split()[0] == env_id]
        if self._rng.random() < 0.5:
            groups = [groups[self._rng.integers(len(groups))]]
        episodes = list(self._some([episode for group in groups for episode in group]))
        if self._rng.random() < 0.2:
            share = self._rng.random()
            episodes = [self._left(one) if self._rng.random() < share else one for one in episodes]
        return self._data(env_id, episodes)

    def _some(self, episodes: list[Episode]) -> Iterator[Episode]:
        """Without any of them twice."""
        wanted, rows = int(np.exp(self._rng.uniform(np.log(2), np.log(MOST_EPISODES)))), 0
        for number in self._rng.permutation(len(episodes))[:wanted]:
            rows += len(episodes[number])
            yield episodes[number]
            if rows > MOST_ROWS:
                return

    def _left(self, one: Episode) -> Episode:
        """An episode that its player left before its end."""
        length = int(self._rng.integers(1, len(one) + 1))
        if length == len(one):
            return one
        cut = {name: getattr(one, name)[:length] for name in ROWS}
        cut["timeouts"] = np.arange(length) == length - 1
        return Episode(**cut, infos={name: rows[:length] for name, rows in one.infos.items()}, seed=one.seed)

    def _data(self, env_id: str, episodes: list[Episode]) -> Data:
        if env_id not in self._facts:
            env = make_env(env_id)
            self._facts[env_id] = horizon_of(env), env.action_space.low, env.action_space.high
            env.close()
        horizon, low, high = self._facts[env_id]
        arrays = {name: np.concatenate([getattr(one, name) for one in episodes]) for name in ROWS}
        for name in episodes[0].infos:
            arrays[f"infos/{name}"] = np.concatenate([one.infos[name] for one in episodes])
        arrays[EPISODE] = np.repeat(np.arange(len(episodes)), [len(one) for one in episodes])
        arrays[FRAME] = np.concatenate([np.arange(len(one)) for one in episodes])
        named, source = bool(self._rng.random() < 0.5), "policy" if all(one.seed >= 0 for one in episodes) else "import"
        return Data(arrays, env_id, horizon, np.array(low), np.array(high), source, named)
