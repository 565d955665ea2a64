"""Every episode played through the recorder is handed on, however it ends."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import Autoreset, FlattenObservation, RescaleAction

from awac_tr.envs.env_spec import env_record
from awac_tr.envs.episode import Episode
from awac_tr.envs.make import make_env
from awac_tr.envs.recorder import EpisodeRecorder
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection


class Rig(gymnasium.Env[Any, Any]):
    """Not registered: counts its steps, in float64, and tells what it was made to execute."""

    def __init__(self, end: int = 100, *, spoil_at: int = -1, observation: spaces.Space[Any] | None = None) -> None:
        self.observation_space = observation or spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-0.1, 0.7, (2,), np.float64)
        self._end, self._spoil_at = end, spoil_at
        self.executed: list[np.ndarray] = []
        self.closed = False
        self._state = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state[:] = 0.1
        return self._state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action) or np.isnan(action).any()
        self.executed.append(action)
        self._state += 1  # the same array is handed out again and again
        step = int(self._state[0])
        if step == self._spoil_at:
            self._state[1] = np.nan
        return self._state, step / 3, step == self._end, False, {"force": step, "touch": step > 1, "note": "x"}

    def close(self) -> None:
        self.closed = True


def recorded(env: gymnasium.Env[Any, Any], **options: Any) -> tuple[EpisodeRecorder, list[Episode]]:
    episodes: list[Episode] = []
    return EpisodeRecorder(env, episodes.append, **options), episodes


ZERO = np.zeros(2)


def test_rows_of_an_unregistered_rig() -> None:
    rig = Rig(end=3)
    env, episodes = recorded(rig, infos=("force", "touch"))
    first, _ = env.reset(seed=4)
    assert first is rig._state  # what the player sees is untouched
    for _ in range(3):
        env.step(np.array([0.1, 0.2]))
    (episode,) = episodes
    assert (len(episode), episode.seed) == (3, 4)
    np.testing.assert_array_equal(episode.observations, np.float32([[0.1] * 2, [1.1] * 2, [2.1] * 2]))
    np.testing.assert_array_equal(episode.next_observations[:-1], episode.observations[1:])
    np.testing.assert_array_equal(episode.next_observations[-1], np.float32([3.1, 3.1]))
    np.testing.assert_array_equal(episode.rewards, np.float32([1 / 3, 2 / 3, 1]))
    assert (episode.terminals.tolist(), episode.timeouts.any()) == ([False, False, True], False)
    assert {name: values.tolist() for name, values in episode.infos.items()} == {
        "force": [1, 2, 3],
        "touch": [False, True, True],
    }
    assert all(values.dtype == np.float32 for values in (episode.observations, episode.actions, episode.rewards))


def test_what_is_recorded_is_what_was_executed(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(end=3)
    env, episodes = recorded(rig)
    env.reset()
    with caplog.at_level(logging.INFO):
        for action in ([0.1, 0.2], [5, -5], np.float32([0.5, 0.5])):
            env.step(action)
    np.testing.assert_array_equal(episodes[0].actions, rig.executed)
    assert all(action.dtype == np.float64 for action in rig.executed)
    np.testing.assert_allclose(episodes[0].actions, [[0.1, 0.2], [0.7, -0.1], [0.5, 0.5]], rtol=1e-6)
    assert env.counts.clipped == 2
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "actions are rounded to float32, executed and recorded so",
        "actions outside the bounds are clipped, executed and recorded so",
    ]


def test_an_episode_left_in_the_middle_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[BaseException | None] = []
    env, episodes = recorded(Rig(), on_close=ended.append)
    env.reset(seed=1)
    env.step(ZERO)
    env.step(ZERO)
    with caplog.at_level(logging.INFO):
        env.reset()
    env.reset(seed=2, options={"x": 1})
    env.step(ZERO)
    env.close()
    env.close()
    assert [(len(one), one.seed, one.timeouts.tolist(), one.terminals.any()) for one in episodes] == [
        (2, 1, [False, True], False),
        (1, -1, [True], False),
    ]
    assert "Rig: episode 0 cut after 2 steps by a reset" in caplog.messages
    assert (env.counts.episodes, env.counts.steps, env.counts.cut) == (2, 3, 2)
    assert ended == [None]
    assert env.env.closed  # type: ignore[attr-defined]


def stopped_early(env: EpisodeRecorder) -> None:
    with env:
        env.reset(seed=1)
        env.step(ZERO)
        raise InterruptedError


def test_an_exception_keeps_the_rows_before_it() -> None:
    ended: list[BaseException | None] = []
    env, episodes = recorded(Rig(), on_close=ended.append)
    with pytest.raises(InterruptedError):
        stopped_early(env)
    assert [one.timeouts.tolist() for one in episodes] == [[True]]
    assert isinstance(ended[0], InterruptedError)
    assert env.env.closed  # type: ignore[attr-defined]


def test_from_a_number_that_is_none_on_an_episode_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    env, episodes = recorded(Rig(end=6, spoil_at=3))
    env.reset()
    while not env.step(ZERO)[2]:
        pass
    assert [(len(one), one.timeouts.tolist()) for one in episodes] == [(2, [False, True])]
    assert (env.counts.spoiled, env.counts.cut) == (1, 1)
    assert "Rig: NaN or infinity at step 3 of episode 0: what follows in this episode is left out" in caplog.messages
    env.reset()
    assert np.isnan(env.step([np.nan, 0])[0]).sum() == 0
    assert len(episodes) == 1
    assert env.counts.spoiled == 2


def test_a_step_outside_of_an_episode_is_an_error() -> None:
    env, episodes = recorded(Rig(end=1))
    with pytest.raises(EnvError, match="Rig: a step outside of an episode"):
        env.step(ZERO)
    env.reset()
    env.step(ZERO)
    with pytest.raises(EnvError, match="outside"):
        env.step(ZERO)
    around = Autoreset(env)
    around.reset()
    for _ in range(4):
        around.step(ZERO)
    assert len(episodes) == 3


@pytest.mark.parametrize("action", [0.0, [0.0], np.zeros((1, 2)), "go", None])
def test_actions_of_other_shapes_are_refused(action: Any) -> None:
    env, _ = recorded(Rig())
    env.reset()
    with pytest.raises(EnvError, match="not 2 numbers"):
        env.step(action)


def test_infos_that_are_missing_or_no_numbers_are_refused() -> None:
    for name in ("torque", "note"):
        env, _ = recorded(Rig(), infos=(name,))
        env.reset()
        with pytest.raises(EnvError, match=f"info '{name}' holds"):
            env.step(ZERO)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Rig(observation=spaces.Dict(a=spaces.Box(-1, 1, (2,)))), "the observations of Rig are Dict"),
        (Rig(observation=spaces.Box(0, 255, (8, 8, 3), np.uint8)), "the observations of Rig are Box"),
        (gymnasium.make("CartPole-v1"), r"the actions of CartPole-v1 are Discrete\(2\)"),
        (object(), "object is no single Gymnasium environment"),
    ],
)
def test_what_is_not_a_vector_is_refused(env: Any, message: str) -> None:
    with pytest.raises(EnvError, match=message) as caught:
        recorded(env)
    if "observations" in message:
        assert "FlattenObservation" in caught.value.hint


def test_success_and_states_of_our_environments() -> None:
    env, episodes = recorded(make_env(EnvSection(id="door-binary-v0", horizon=3)))
    for _ in range(2):
        env.reset(seed=1)
        while not env.step(np.zeros(28, np.float32))[3]:
            pass
    assert len(episodes) == 2
    assert set(episodes[0].infos) == {"success", "qpos", "qvel", "door_pos"}
    assert episodes[0].timeouts.tolist() == [False, False, True]
    plain, others = recorded(make_env(EnvSection(id="door-binary-v0", horizon=1)), record_state=False)
    plain.reset(seed=1)
    plain.step(np.zeros(28, np.float32))
    assert set(others[0].infos) == {"success"}
    with pytest.raises(EnvError, match="no MuJoCo state"):
        recorded(Rig(), record_state=True)


class Sometimes(Rig):
    """Says success only in the episodes asked for."""

    def __init__(self, saying: list[bool]) -> None:
        super().__init__(end=2)
        self._saying = iter(saying)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self._says = next(self._saying)
        return super().reset(**options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *step, _ = super().step(action)
        return *step, {"is_success": np.True_} if self._says else {}


@pytest.mark.parametrize("first", [True, False])
def test_the_first_episode_decides_on_success(first: bool, caplog: pytest.LogCaptureFixture) -> None:
    env, episodes = recorded(Sometimes([first, not first]))
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            env.reset()
            env.step(ZERO)
            env.step(ZERO)
    kept = [one.infos["success"].tolist() if "success" in one.infos else None for one in episodes]
    assert kept == ([[True, True], [False, False]] if first else [None, None])
    assert any("success" in message for message in caplog.messages)


def test_the_passport() -> None:
    registered = env_record(gymnasium.make("HalfCheetah-v5", max_episode_steps=50, frame_skip=4))
    assert (registered.env_id, registered.horizon, registered.wrappers) == ("HalfCheetah-v5", 50, [])
    assert registered.env_kwargs == {"frame_skip": 4}
    rig = env_record(Rig())
    assert (rig.env_id, rig.horizon, rig.action_high.tolist()) == ("", None, [0.7, 0.7])
    rescaled = env_record(RescaleAction(gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1)))
    assert (rescaled.env_id, rescaled.wrappers, rescaled.horizon) == ("", ["RescaleAction"], 200)
    rig_of_dicts = FlattenObservation(Rig(observation=spaces.Dict(a=spaces.Box(-1, 1, (2,)))))
    assert (env_record(rig_of_dicts).env_id, env_record(rig_of_dicts).wrappers) == ("", ["FlattenObservation"])
