from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from awac_tr.envs import ENV_IDS
from awac_tr.envs.describe.catalogue import catalogue
from awac_tr.envs.describe.describe import Goal, describe
from awac_tr.envs.describe.space_description import Clock, Part
from awac_tr.envs.describe.speed import measure_speed
from awac_tr.envs.describe.text import documented
from awac_tr.envs.make import make_bare, make_env
from awac_tr.errors import EnvError
from awac_tr.recipes.environment import EnvSection


class _Rooms(gymnasium.Env[Any, Any]):
    """Walk from room to room.

    ## Rewards
    The reward is:

    *-distance<sup>2</sup>* of [the door](https://nowhere).

    ## Episode End
    ### Termination
    The episode ends in the `last` room.

    ### Truncation
    Never.
    """

    observation_space = spaces.Dict(
        [
            ("where", spaces.Box(-3.0, 3.0, (2,), np.float32)),
            ("room", spaces.Discrete(3)),
            ("self", spaces.Dict({"speed": spaces.Box(0.0, 9.0, (1,), np.float32)})),
        ]
    )
    action_space = spaces.Box(np.float32([-1, -2]), np.float32([1, 2]))

    def __init__(self, broken: bool = False) -> None:
        self._broken = broken

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._broken:
            raise RuntimeError("the floor gave way")
        return self.observation_space.sample(), 0.0, False, False, {"is_success": False, "room": 1}


@pytest.fixture
def rooms() -> Iterator[str]:
    gymnasium.register("rooms-v0", entry_point=_Rooms, max_episode_steps=40)
    yield "rooms-v0"
    del gymnasium.registry["rooms-v0"]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_ours_are_described_as_they_are(env_id: str) -> None:
    found, env = describe(env_id), make_env(env_id)
    space: Any = env.observation_space
    assert (found.observation.size,) == space.shape
    assert found.observation.low == tuple(space.low.tolist())
    assert found.observation.parts[0].start == 0
    assert found.observation.parts[-1].stop == found.observation.size
    assert found.action.size == len(found.action.names or found.action.low)
    assert (found.horizon, found.terminates, found.trainable, found.problem) == (200, False, True, "")
    assert found.clock is not None
    assert math.isclose(found.clock.dt, 1 / env.metadata["render_fps"])
    assert found.task
    assert found.reward
    assert "success" in found.info
    assert {"gymnasium", "mujoco"} <= set(found.versions)
    assert found.python[0] == f"awac_tr.make_env({env_id!r})"


def test_the_parts_of_the_doors_observation_hold_what_they_are_called() -> None:
    env = make_env("door-binary-v0")
    observation, _ = env.reset(seed=3)
    for _ in range(5):
        observation, *_ = env.step(env.action_space.sample())
    entries = {part.name: observation[part.start : part.stop] for part in describe("door-binary-v0").observation.parts}
    np.testing.assert_allclose(entries["palm - handle (m)"], entries["palm (m)"] - entries["handle (m)"], atol=1e-6)
    assert entries["door hinge (rad)"] == np.float32(env.unwrapped.data.joint("door_hinge").qpos)
    assert entries["latch (rad)"] == np.float32(env.unwrapped.data.joint("latch").qpos)


def test_thresholds_and_options_are_in_the_words() -> None:
    found = describe(EnvSection(id="door-binary-v0", kwargs={"hinge": 1.2}, horizon=90))
    assert "1.2 rad" in found.reward
    assert found.horizon == 90
    assert found.python == (
        "awac_tr.make_env(EnvSection(id='door-binary-v0', kwargs={'hinge': 1.2}, horizon=90))",
        "gymnasium.make('awac_tr:door-binary-v0', hinge=1.2, max_episode_steps=90)",
    )
    wrapped = EnvSection(id="pen-binary-v0", wrappers=("gymnasium.wrappers:TimeAwareObservation",), reward="math:dist")
    with pytest.raises(EnvError, match="take"):
        make_env(wrapped)
    assert describe(wrapped).problem.startswith("the reward math:dist")


def test_wrappers_change_what_is_said_of_the_parts() -> None:
    found = describe(EnvSection(id="pen-binary-v0", wrappers=("gymnasium.wrappers:TimeAwareObservation",)))
    assert (found.observation.size, found.observation.parts, found.trainable) == (46, (), True)


def test_locomotion() -> None:
    found = describe("HalfCheetah-v5")
    assert found.observation.parts == (Part("qpos", 0, 8), Part("qvel", 8, 17))
    assert found.action.names == ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
    assert found.clock == Clock(timestep=0.01, frame_skip=5, dt=0.05, frequency=20.0)
    assert found.settings == {"ctrl_cost_weight": 0.1, "forward_reward_weight": 1.0}
    assert found.reward == "The total reward is: reward = forward_reward - ctrl_cost."
    assert "run forward" in found.task
    assert (found.terminates, describe("Ant-v5").terminates) == (False, True)
    assert "healthy_z_range" in describe("Ant-v5").settings


def test_a_dictionary_is_shown_in_the_order_in_which_it_is_flattened(rooms: str) -> None:
    found = describe(rooms)
    assert found.observation.parts == (Part("where", 0, 2), Part("room", 2, 5), Part("self.speed", 5, 6))
    assert found.observation.low == (-3, -3, 0, 0, 0, 0)
    assert found.observation.printed.startswith("Dict(where: Box(2,) float32, room: Discrete(3)")
    assert (found.action.low, found.action.high) == ((-1, -2), (1, 2))
    assert found.reward == "The reward is: -distance^2 of the door."
    assert found.end == "The episode ends in the last room."
    assert found.success == 'info["success"]'
    assert (found.clock, found.terminates, found.uses.recipes) == (None, None, ())


def test_what_goes_wrong_after_making_is_part_of_the_description(rooms: str) -> None:
    found = describe(EnvSection(id=rooms, kwargs={"broken": True}))
    assert found.trainable
    assert "RuntimeError: the floor gave way" in found.problem
    assert found.info == ()


def test_a_goal_environment() -> None:
    found = describe("gymnasium_robotics:FetchReach-v4")
    assert found.id == "FetchReach-v4"
    assert found.goal == Goal(size=3, rewards=True, fresh=False)
    assert found.observation.parts == (Part("observation", 0, 10), Part("desired_goal", 10, 13))
    assert (found.clock or Clock(0, 0, 0, 0)).frequency == 25


@pytest.mark.parametrize(("env_id", "printed"), [("CartPole-v1", "Discrete(2)"), ("Blackjack-v1", "Discrete(2)")])
def test_discrete_actions_are_shown_and_said_to_be_useless(env_id: str, printed: str) -> None:
    found = describe(env_id)
    assert (found.action.printed, found.action.size, found.trainable) == (printed, None, False)
    assert "discrete" in found.problem
    assert not [line for line in found.python if "awac_tr" in line]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("HalfCheeta-v5", "Did you mean HalfCheetah-v5"),
        (EnvSection(id="door-binary-v0", kwargs={"hinges": 3}), "cannot be made with {'hinges': 3}"),
        ("HalfCheetah-v3", "cannot be made"),
    ],
)
def test_what_cannot_be_made_is_an_error(env: str | EnvSection, said: str) -> None:
    with pytest.raises(EnvError, match=said):
        describe(env)


def test_the_catalogue_begins_with_ours_and_those_of_the_recipes() -> None:
    found = catalogue()
    assert tuple(entry.id for entry in found[: len(ENV_IDS)]) == ENV_IDS
    assert {entry.origin for entry in found[len(ENV_IDS) :]} <= {"recipe"}
    door = next(entry for entry in found if entry.id == "door-binary-v0")
    assert (door.horizon, door.observation_size, door.action_size) == (200, 39, 28)
    assert {"door", "quickstart"} <= set(door.recipes)


def test_everything_registered_is_found_without_being_made() -> None:
    found = {entry.id: entry for entry in catalogue(everything=True)}
    assert {"Pendulum-v1", "AdroitHandHammer-v1", "LunarLanderContinuous-v3", "FetchPush-v4"} <= set(found)
    assert not {"CartPole-v1", "LunarLander-v3", "HalfCheetah-v2", "Taxi-v3", "FetchPush-v1"} & set(found)
    assert (found["Pendulum-v1"].horizon, found["Pendulum-v1"].observation_size) == (200, None)
    assert [entry.id for entry in catalogue("HAMMER", everything=True)] == [
        "AdroitHandHammer-v1",
        "AdroitHandHammerSparse-v1",
    ]


def test_what_the_catalogue_calls_continuous_has_vectors_for_actions() -> None:
    for entry in catalogue("-v5", everything=True):
        env = make_bare(entry.id)
        assert isinstance(env.action_space, spaces.Box), entry.id
        env.close()


def test_speed_counts_what_was_stepped(rooms: str) -> None:
    counts = {"a": 0, "b": 0}

    class Counting(gymnasium.Wrapper[Any, Any, Any, Any]):
        def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
            super().__init__(env)
            self._name = name

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            counts[self._name] += 1
            return self.env.step(action)

    envs = {name: Counting(make_bare(rooms), name) for name in counts}
    found = measure_speed(envs, seconds=0.05, blocks=3)
    for name, speed in found.items():
        assert counts[name] == speed.steps + 40  # those of warming up
        assert speed.wall > 0
        assert speed.processor > 0


def test_of_a_docstring_without_headings_the_first_paragraph_is_the_task() -> None:
    assert documented("Swing it up.\n\nMore of it.").task == "Swing it up."
    assert documented(None).task == ""


def test_a_description_fits_json() -> None:
    from dataclasses import asdict

    found = asdict(describe("Pendulum-v1"))
    found["env"] = found["env"].to_plain()
    assert json.loads(json.dumps(found))["observation"]["high"] == [1.0, 1.0, 8.0]
