"""SawyerPush-v0 in use: noise, jams and rails do it no harm, and the task can be done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

from awac_tr.envs.sawyer.push import SawyerPushEnv
from awac_tr.envs.sawyer.task import HIGH, LOW, PUCK_HIGH, PUCK_LOW
from awac_tr.policies.noise import OUController

STEPS = 10_000
Array = np.ndarray[Any, Any]


class Trace(NamedTuple):
    """What a run through went by, a row a step."""

    seen: Array
    hand_z: Array
    puck_z: Array


def uniform(seed: int) -> Iterable[Array]:
    return np.random.default_rng(seed).uniform(-1, 1, (STEPS, 2))


def ornstein_uhlenbeck(seed: int) -> Iterable[Array]:
    controller = OUController(-np.ones(2, np.float32), np.ones(2, np.float32))
    controller.reset(seed)
    return (controller.act(np.zeros(8, np.float32)) for _ in range(STEPS))


def into_the_rails(seed: int) -> Iterable[Array]:
    """Far beyond the bounds, twenty steps each way: whatever is in front of the hand is pressed into a rail."""
    return np.repeat(np.random.default_rng(seed).uniform(-3, 3, (STEPS // 20, 2)), 20, axis=0)


def walk(env: SawyerPushEnv, actions: Iterable[Array]) -> Trace:
    rows = []
    for action in actions:
        seen, *_ = env.step(action.astype(np.float32))
        rows.append((seen["observation"], env.data.body("hand").xpos[2], env.data.body("puck").xpos[2]))
    return Trace(*map(np.array, zip(*rows, strict=True)))


@pytest.mark.parametrize("actions", [uniform, ornstein_uhlenbeck, into_the_rails])
def test_ten_thousand_steps_keep_hand_and_puck_where_they_belong(actions: Any) -> None:
    env = SawyerPushEnv()
    env.reset(seed=1)
    trace = walk(env, actions(1))
    assert (trace.seen[:, :2] >= LOW - 0.005).all()
    assert (trace.seen[:, :2] <= HIGH + 0.005).all()
    assert (trace.seen[:, 2:] >= PUCK_LOW - 0.001).all()
    assert (trace.seen[:, 2:] <= PUCK_HIGH + 0.001).all()
    np.testing.assert_allclose(trace.hand_z, 0.06, atol=0.003)
    lifted = trace.puck_z - 0.02
    assert lifted.min() > -0.001
    assert lifted.max() < 0.015
    moved = np.linalg.norm(np.diff(trace.seen[:, 2:], axis=0), axis=1)
    assert moved.sum() > 1.0  # it was pushed about, metres
    assert moved.max() < 0.15
    apart = np.hypot(*(trace.seen[:, :2] - trace.seen[:, 2:]).T)
    assert apart.min() > 0.045  # the hand goes around the puck or pushes it, never through
    assert all(env.observation_space["observation"].contains(row) for row in trace.seen)  # type: ignore[index]


def test_a_puck_is_pushed_ahead_of_the_hand_and_stays_where_it_is_left() -> None:
    env = SawyerPushEnv()
    env._place(np.array([-0.1, 0.6]), np.array([0.0, 0.6]))
    trace = walk(env, [np.array([1.0, 0.0])] * 6 + [np.array([-1.0, 0.0])] * 5)
    np.testing.assert_allclose(trace.seen[5], [0.02, 0.6, 0.075, 0.6], atol=0.004)
    np.testing.assert_allclose(trace.seen[-1, 2:], [0.075, 0.6], atol=0.004)


def test_a_jam_ends_where_the_puck_is_caught_and_does_not_break_the_arm() -> None:
    env = SawyerPushEnv()
    env._place(np.array([0.0, 0.6]), np.array([0.15, 0.6]))
    trace = walk(env, [np.array([1.0, 0.0])] * 30)
    assert trace.seen[-1, 2] == pytest.approx(PUCK_HIGH[0], abs=0.002)
    assert np.hypot(*(trace.seen[-1, :2] - trace.seen[-1, 2:])) == pytest.approx(0.055, abs=0.005)


@pytest.mark.parametrize(
    ("hand", "puck", "action"),
    [((-0.2, 0.52), PUCK_LOW * [1, 0] + [0, 0.58], (0.0, 1.0)), ((-0.2, 0.57), PUCK_LOW, (0.0, -1.0))],
    ids=["rail", "corner"],
)
def test_a_puck_can_be_got_off_a_rail_and_out_of_a_corner(
    hand: tuple[float, float], puck: Array, action: tuple[float, float]
) -> None:
    env = SawyerPushEnv()
    env._place(np.array(hand), np.asarray(puck))
    trace = walk(env, [np.array(action)] * 8)
    assert trace.seen[-1, 2] > PUCK_LOW[0] + 0.02


class Pusher:
    """Goes around the puck to the side away from the goal, and pushes; where a rail is in the way, nearly there."""

    _angles = np.linspace(-np.pi, np.pi, 144, endpoint=False)
    _ways = np.stack([np.cos(_angles), np.sin(_angles)], axis=1)

    def act(self, seen: dict[str, Array]) -> Array:
        hand, puck, goal = (np.float64(x) for x in (*np.split(seen["observation"], 2), seen["desired_goal"][2:]))
        left = float(np.linalg.norm(goal - puck))
        if left < 0.02:
            return np.zeros(2)
        way = self._way(puck, goal)
        across = np.array([-way[1], way[0]])
        behind, offset = np.clip(puck - 0.07 * way, LOW, HIGH), hand - puck
        if offset @ way < -0.03 and abs(offset @ across) < 0.012:
            step = 0.02 * min(1.0, left / 0.02) * way - 0.8 * (offset @ across) * across
        elif self._in_the_way(hand, behind, puck):
            step = self._around(offset, behind - puck, puck)
        else:
            step = behind - hand
        return np.asarray(np.clip(step / 0.02, -1, 1))

    def _way(self, puck: Array, goal: Array) -> Array:
        """The direction to push in: the nearest to the goal's that the hand can get behind of."""
        behind = puck - 0.057 * self._ways
        free = self._ways[((behind >= LOW) & (behind <= HIGH)).all(axis=1)]
        return np.asarray(free[np.argmax(free @ (goal - puck))])

    @staticmethod
    def _in_the_way(hand: Array, aim: Array, puck: Array) -> bool:
        line = aim - hand
        nearest = hand + np.clip((puck - hand) @ line / (line @ line + 1e-12), 0, 1) * line
        return bool(np.linalg.norm(nearest - puck) < 0.055)

    @staticmethod
    def _around(offset: Array, aim: Array, puck: Array) -> Array:
        """A step on a circle around the puck, the shorter way that the rails leave open."""
        start, end = np.arctan2(offset[1], offset[0]), np.arctan2(aim[1], aim[0])
        ways = []
        for sign in (1, -1):
            arc = sign * (end - start) % (2 * np.pi)
            angles = start + sign * np.linspace(0, arc, 24)
            circle = puck + 0.075 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            outside = np.linalg.norm(np.clip(circle, LOW, HIGH) - circle, axis=1).max()
            ways.append((outside > 0.018, arc, sign))
        radius = float(np.linalg.norm(offset))
        outward = offset / radius
        return np.asarray(0.02 * min(ways)[2] * np.array([-outward[1], outward[0]]) + (0.0375 - radius / 2) * outward)


def solved(env: gymnasium.Env[Any, Any], seed: int) -> bool:
    seen, info = env.reset(seed=seed)
    pusher, over = Pusher(), False
    while not (over or info["success"]):
        seen, _, _, over, info = env.step(pusher.act(seen).astype(np.float32))
    return bool(info["success"])


def test_a_scripted_pusher_solves_the_task() -> None:
    env = gymnasium.make("awac_tr:SawyerPush-v0", disable_env_checker=True)
    assert np.mean([solved(env, seed) for seed in range(40)]) >= 0.9


def test_standing_still_does_not() -> None:
    env = gymnasium.make("awac_tr:SawyerPush-v0", disable_env_checker=True)
    assert np.mean([env.reset(seed=seed)[1]["success"] for seed in range(200)]) < 0.25
