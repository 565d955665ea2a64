"""What a description adds to an environment: wrappers, rewards, flat observations, goals, stretched actions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from awac_tr.collectors.episodes import rollout, rollouts
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env
from awac_tr.envs.state import pose_of, set_pose
from awac_tr.errors import EnvError
from awac_tr.policies.noise import RandomController
from awac_tr.recipes.schema import EnvSection, WrapperSection

ONE = spaces.Box(-1, 1, (1,), np.float32)


class Strange(gymnasium.Env[Any, Any]):
    """Gives samples of any space, and the action in ``info``."""

    def __init__(self, seen: Any, acts: Any = ONE) -> None:
        self.observation_space, self.action_space = seen, acts

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 1.0, False, False, {"executed": action}


Register = Callable[..., str]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers an environment with these spaces, and gives its id."""

    def make(seen: Any, acts: Any = ONE) -> str:
        gymnasium.register("strange-v0", lambda **_: Strange(seen, acts), max_episode_steps=6)
        return "strange-v0"

    yield make
    gymnasium.registry.pop("strange-v0", None)


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], str]:
    """Writes a module of the user's into the folder one works in, under a name that nothing else has."""

    def write(text: str) -> str:
        name = f"mine_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return write


RULE = "def rule(observation, action, next_observation, info):\n    return "


def rewards_of(section: EnvSection, seed: int = 0) -> list[float]:
    env: Any = make_env(section)
    size = env.action_space.shape[0]
    return [float(reward) for reward in rollout(env, RandomController(-np.ones(size), np.ones(size)), seed).rewards]


# --- wrappers ---------------------------------------------------------------------------------------------------------


def test_the_first_wrapper_is_the_innermost() -> None:
    clock = WrapperSection(name="gymnasium.wrappers:TimeAwareObservation")
    stack = WrapperSection(name="gymnasium.wrappers:FrameStackObservation", kwargs={"stack_size": 2})
    env: Any = make_env(EnvSection(id="Pendulum-v1", wrappers=(clock, stack)))
    assert env.observation_space.shape == (8,)  # two frames of three numbers and the time, row after row
    first, _ = env.reset(seed=0)
    second = env.step(np.zeros(1, np.float32))[0]
    assert (second[:4] == first[4:]).all()
    assert second.tolist()[3::4] == [0.0, 1.0]
    other = make_env(EnvSection(id="Pendulum-v1", wrappers=(stack, "gymnasium.wrappers:FlattenObservation", clock)))
    assert other.observation_space.shape == (7,)  # the other way round, there is one time


def test_a_wrapper_in_a_file_of_the_working_folder(module: Callable[[str], str]) -> None:
    name = module(
        "import gymnasium\n"
        "class Slow(gymnasium.ActionWrapper):\n"
        "    def __init__(self, env, share):\n"
        "        super().__init__(env)\n"
        "        self.share = share\n"
        "    def action(self, action):\n"
        "        return action * self.share\n"
    )
    halved = make_env(
        EnvSection(id="Pendulum-v1", wrappers=(WrapperSection(name=f"{name}:Slow", kwargs={"share": 0.5}),))
    )
    plain = make_env("Pendulum-v1")
    for env in (halved, plain):
        env.reset(seed=3)
    one, half = np.ones(1, np.float32), np.full(1, 0.5, np.float32)
    assert (halved.step(one)[0] == plain.step(half)[0]).all()


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        ("no_such_module_here:Slow", "No module named 'no_such_module_here'"),
        ("gymnasium.wrappers:TimeAwareObservatoin", "Did you mean TimeAwareObservation"),
        ("gymnasium.wrappers:TimeLimit.nothing", "no 'nothing' in gymnasium.wrappers"),
        ("math:sqrt", "math:sqrt is no Gymnasium wrapper"),
        ("gymnasium:Env", "gymnasium:Env is no Gymnasium wrapper"),
        (
            WrapperSection(name="gymnasium.wrappers:TimeLimit", kwargs={"steps": 3}),
            "unexpected keyword argument 'steps'",
        ),
        ("gymnasium.wrappers:TimeLimit", "missing 1 required positional argument: 'max_episode_steps'"),
    ],
)
def test_wrappers_that_are_none(wrapper: Any, said: str) -> None:
    with pytest.raises(EnvError) as caught:
        make_env(EnvSection(id="Pendulum-v1", wrappers=(wrapper,)))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("def x(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_module_that_fails(module: Callable[[str], str], text: str, said: str) -> None:
    name = module(text)
    with pytest.raises(EnvError) as caught:
        make_env(EnvSection(id="Pendulum-v1", reward=f"{name}:rule"))
    assert f"{name} cannot be imported" in str(caught.value)
    assert said in str(caught.value)


def test_a_module_of_the_standard_library_is_not_replaced_by_a_file_here(tmp_path: Path) -> None:
    (tmp_path / "wave.py").write_text(RULE + "0.0\n")
    with pytest.raises(EnvError, match=r"no 'rule' in wave \(.*python3.*wave\.py\)"):
        make_env(EnvSection(id="Pendulum-v1", reward="wave:rule"))


def test_what_is_imported_is_said_once(module: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    name = module(RULE + "0.0\n")
    with caplog.at_level("INFO", "awac_tr"):
        for _ in range(2):
            make_env(EnvSection(id="Pendulum-v1", reward=f"{name}:rule"))
    said = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert len(said) == 1
    assert f"{name}.py" in said[0]


# --- rewards ----------------------------------------------------------------------------------------------------------


def test_a_rule_sees_the_step_as_the_wrapped_environment_has_it(module: Callable[[str], str]) -> None:
    name = module(
        "steps = []\n"
        "def rule(observation, action, next_observation, info):\n"
        "    steps.append((observation, action, next_observation, info))\n"
        "    return float(len(steps))\n"
    )
    clock = WrapperSection(name="gymnasium.wrappers:TimeAwareObservation", kwargs={"flatten": False})
    env: Any = make_env(EnvSection(id="Pendulum-v1", reward=f"{name}:rule", wrappers=(clock,), rescale_actions=True))
    first, _ = env.reset(seed=0)
    second, reward, *_ = env.step(np.full(1, 0.5, np.float32))
    assert reward == 1.0
    import sys

    observation, action, following, info = sys.modules[name].steps[0]
    assert set(observation) == {"obs", "time"}  # wrappers come before the rule, flattening after it
    assert (observation["obs"].astype(np.float32) == first[:3]).all()
    assert (following["obs"].astype(np.float32) == second[:3]).all()
    assert action.tolist() == [1.0]  # in the environment's own units: stretching is further out
    assert info == {}


def test_a_rule_keeps_the_observation_before_though_the_environment_reuses_its_array(
    module: Callable[[str], str], toy: str
) -> None:
    name = module(RULE + "float(next_observation[0] - observation[0])\n")
    assert rewards_of(EnvSection(id=toy, reward=f"{name}:rule")) == [1.0] * 5


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("float('nan')", "gave nan, which is no finite number"),
        ("float('inf')", "gave inf"),
        ("'high'", "gave 'high'"),
        ("None", "gave None"),
        ("observation", "gave array("),
        ("1 / 0", "ZeroDivisionError"),
        ("info['no_such']", "KeyError: 'no_such'"),
    ],
)
def test_rules_that_give_no_number(module: Callable[[str], str], gives: str, said: str) -> None:
    name = module(RULE + gives + "\n")
    with pytest.raises(EnvError) as caught:
        rewards_of(EnvSection(id="Pendulum-v1", reward=f"{name}:rule"), seed=11)
    assert "Pendulum-v1, episode seed 11, step 0" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("gives", ["1", "True", "np.float32(1)", "np.int64(1)", "np.array(1.0)", "np.bool_(True)"])
def test_numbers_of_any_kind_are_rewards(module: Callable[[str], str], gives: str) -> None:
    name = module("import numpy as np\n" + RULE + gives + "\n")
    assert set(rewards_of(EnvSection(id="Pendulum-v1", horizon=3, reward=f"{name}:rule"))) == {1.0}


@pytest.mark.parametrize(
    "text",
    [
        "def rule(observation):\n    return 0.0\n",
        "def rule(a, b, c, d, e):\n    return 0.0\n",
        "rule = 3\n",
        "class rule: pass\n",
    ],
)
def test_rules_that_are_none(module: Callable[[str], str], text: str) -> None:
    name = module(text)
    with pytest.raises(EnvError, match=r"\(observation, action, next_observation, info\)"):
        make_env(EnvSection(id="Pendulum-v1", reward=f"{name}:rule"))


def test_an_object_can_be_a_rule(module: Callable[[str], str]) -> None:
    name = module("class Rule:\n    def __call__(self, *step):\n        return 2.0\nrule = Rule()\n")
    assert set(rewards_of(EnvSection(id="Pendulum-v1", horizon=3, reward=f"{name}:rule"))) == {2.0}


def test_rewards_are_held_to_their_range(module: Callable[[str], str]) -> None:
    name = module("count = 0\ndef rule(*step):\n    global count\n    count += 1\n    return -0.1 * count\n")
    section = EnvSection(id="Pendulum-v1", reward=f"{name}:rule", reward_range=(-0.3, 0.0))
    assert env_info(section).reward_range == (-0.3, 0.0)
    with pytest.raises(EnvError, match=r"step 3: the reward -0.4 is outside env.reward_range \[-0.3, 0.0\]"):
        rewards_of(section)


def test_a_range_is_known_of_nothing_else() -> None:
    assert env_info(EnvSection(id="Pendulum-v1")).reward_range == (-np.inf, np.inf)
    assert env_info(EnvSection(id="door-binary-v0", rescale_actions=True)).reward_range == (-np.inf, np.inf)


# --- observations -----------------------------------------------------------------------------------------------------


def box(*shape: int, kind: Any = np.float64) -> spaces.Box:
    return spaces.Box(np.full(shape, -5).astype(kind), np.full(shape, 5).astype(kind), dtype=kind)


def test_dictionaries_are_flattened_key_after_key_in_alphabetical_order(register: Register) -> None:
    inner: dict[str, Any] = {"y": spaces.Box(3, 3.5, (1,)), "x": spaces.Box(2, 2.5, (2,))}
    env: Any = make_env(
        register(spaces.Dict({"b": spaces.Dict(inner), "a": spaces.Box(1, 1.5, (1,)), "c": spaces.Discrete(3)}))
    )
    low, high = env.observation_space.low.tolist(), env.observation_space.high.tolist()
    assert low == [1, 2, 2, 3, 0, 0, 0]  # a, b.x, b.y, and c as three numbers
    assert high == [1.5, 2.5, 2.5, 3.5, 1, 1, 1]
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    assert seen[4:].sum() == 1


def test_an_order_of_the_environments_own_is_kept(register: Register) -> None:
    parts: Any = OrderedDict(b=spaces.Box(2, 2.5, (1,)), a=spaces.Box(1, 1.5, (1,)))
    env: Any = make_env(register(spaces.Dict(parts)))
    assert env.observation_space.low.tolist() == [2, 1]


def test_matrices_are_flattened_row_after_row_and_tuples_part_after_part(register: Register) -> None:
    class Counting(Strange):
        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            return (np.arange(6.0).reshape(2, 3) / 2, np.array([7.0])), {}

    register(box(1))
    gymnasium.registry.pop("strange-v0")
    seen = spaces.Tuple((box(2, 3), spaces.Box(6, 8, (1,))))
    gymnasium.register("strange-v0", lambda **_: Counting(seen), max_episode_steps=6)
    env: Any = make_env("strange-v0")
    assert env.reset(seed=0)[0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 7]
    assert env.observation_space.shape == (7,)


@pytest.mark.parametrize(
    "space", [box(3), box(2, 2), box(3, kind=np.int64), spaces.Box(0, 255, (2, 2), np.uint8), spaces.Discrete(4)]
)
def test_observations_of_any_type_become_float32(register: Register, space: Any) -> None:
    env: Any = make_env(register(space))
    seen, _ = env.reset(seed=0)
    assert (seen.dtype, env.observation_space.dtype) == (np.float32, np.float32)
    assert seen.shape == env.observation_space.shape
    assert seen.ndim == 1
    env.observation_space.seed(0)
    assert env.observation_space.contains(seen)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), "are pictures: (64, 64, 3)"),
        (spaces.Dict(state=box(2), camera=spaces.Box(0, 255, (8, 8, 3), np.uint8)), "are pictures: camera (8, 8, 3)"),
        (spaces.Dict(a=spaces.Tuple((box(1), box(2, 2, 2)))), "are pictures: a.1 (2, 2, 2)"),
        (spaces.Graph(box(1), None), "are Graph("),
        (spaces.Sequence(box(1)), "are Sequence("),
    ],
)
def test_observations_that_no_vector_stands_for(register: Register, space: Any, said: str) -> None:
    with pytest.raises(EnvError) as caught:
        make_env(register(space))
    assert f"the observations of strange-v0 {said}" in str(caught.value)
    assert "env.wrappers" in caught.value.hint


# --- goals ------------------------------------------------------------------------------------------------------------

REACH = "gymnasium_robotics:FetchReach-v4"


def test_a_goal_environment_gives_observation_and_desired_goal() -> None:
    env, bare = make_env(REACH), gymnasium.make("FetchReach-v4")
    seen, info = env.reset(seed=0)
    parts, _ = bare.reset(seed=0)
    assert env.goal_size == 3
    assert seen.dtype == np.float32
    assert (seen == np.concatenate([parts["observation"], parts["desired_goal"]]).astype(np.float32)).all()
    assert (info["achieved_goal"] == parts["achieved_goal"]).all()
    action = np.full(4, 0.3, np.float32)
    seen, reward, _, _, info = env.step(action)
    parts, bare_reward, _, _, bare_info = bare.step(action)
    assert (info["achieved_goal"] == parts["achieved_goal"]).all()
    assert reward == bare_reward
    assert info["success"] == bare_info["is_success"]
    assert env.observation_space.contains(seen)


def test_a_state_that_is_no_vector_is_flattened_before_the_goal(register: Register) -> None:
    state = spaces.Dict({"b": spaces.Box(2, 2.5, (2,)), "a": spaces.Box(1, 1.5, (1,))})
    goal = spaces.Box(3, 3.5, (2,))
    env: Any = make_env(register(spaces.Dict(observation=state, achieved_goal=goal, desired_goal=goal)))
    assert env.observation_space.low.tolist() == [1, 2, 2, 3, 3]
    assert env.goal_size == 2
    assert env.observation_space.contains(env.reset(seed=0)[0])


def test_goals_of_two_sizes_are_a_dictionary_like_any_other(register: Register) -> None:
    env: Any = make_env(register(spaces.Dict(observation=box(1), achieved_goal=box(2), desired_goal=box(1))))
    assert (env.goal_size, env.observation_space.shape) == (0, (4,))


def test_a_reward_of_ones_own_hides_the_environments_goal_rule(module: Callable[[str], str]) -> None:
    name = module(RULE + "-1.0\n")
    assert env_info(REACH).goal is not None
    assert env_info(EnvSection(id=REACH, reward=f"{name}:rule")).goal is None


# --- actions ----------------------------------------------------------------------------------------------------------


def test_stretched_actions_reach_both_bounds_exactly(register: Register) -> None:
    low, high = np.array([-0.3, 0.1, -7.7], np.float32), np.array([1.7, 0.30000001, 1e6], np.float32)
    section = EnvSection(id=register(box(1), spaces.Box(low, high)), rescale_actions=True)
    env: Any = make_env(section)
    assert env.action_space == spaces.Box(-1, 1, (3,), np.float32)
    env.reset(seed=0)
    for action, expected in ((-1, low), (1, high), (0, (low.astype(np.float64) + high) / 2)):
        executed = env.step(np.full(3, action, np.float32))[4]["executed"]
        assert executed.dtype == np.float32
        assert (executed == np.asarray(expected, np.float32)).all()
    assert env_info(section).action_bounds == ((-1.0,) * 3, (1.0,) * 3)


def test_episodes_hold_the_actions_of_the_policy() -> None:
    seed, horizon = 5, 20
    wide = make_env(EnvSection(id="Pendulum-v1", horizon=horizon))
    narrow = make_env(EnvSection(id="Pendulum-v1", horizon=horizon, rescale_actions=True))
    episode = rollout(narrow, RandomController(np.full(1, -1.0), np.ones(1)), seed)
    assert np.abs(episode.actions).max() <= 1
    wide.reset(seed=seed)
    for action, following in zip(episode.actions, episode.next_observations, strict=True):
        np.testing.assert_array_equal(wide.step(2 * action)[0], following)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Discrete(4), "are discrete, Discrete(4)"),
        (spaces.MultiDiscrete([2, 3]), "are discrete, MultiDiscrete"),
        (spaces.MultiBinary(3), "are discrete, MultiBinary(3)"),
        (spaces.Tuple((ONE, ONE)), "are Tuple("),
        (spaces.Dict(a=ONE), "are Dict("),
        (box(2, 2, kind=np.float32), "are Box("),
        (box(2, kind=np.int64), "are Box("),
    ],
)
def test_actions_that_no_gaussian_gives(register: Register, space: Any, said: str) -> None:
    with pytest.raises(EnvError) as caught:
        make_env(register(box(1), space))
    assert f"the actions of strange-v0 {said}" in str(caught.value)
    assert caught.value.hint


def test_unbounded_actions_cannot_be_stretched(register: Register) -> None:
    endless = register(box(1), spaces.Box(-np.inf, np.inf, (1,), np.float32))
    make_env(endless)
    with pytest.raises(EnvError, match="have no bounds to stretch to"):
        make_env(EnvSection(id=endless, rescale_actions=True))


# --- states, processes ------------------------------------------------------------------------------------------------


DOUBLE = """
import gymnasium
class Double(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return 2 * observation
"""


def hopper(module: Callable[[str], str]) -> EnvSection:
    name = module(DOUBLE + RULE + "float(next_observation[0] - observation[0] + abs(action).sum())\n")
    wrappers = (f"{name}:Double",)
    return EnvSection(id="Hopper-v5", horizon=30, reward=f"{name}:rule", wrappers=wrappers, rescale_actions=True)


def test_an_episode_is_replayed_bit_for_bit_from_its_recorded_start(module: Callable[[str], str]) -> None:
    env: Any = make_env(hopper(module))
    episode = rollout(env, RandomController(-np.ones(3), np.ones(3)), 7, record_state=True)
    env.reset(seed=99)
    env.step(np.ones(3, np.float32))
    start = set_pose(env, {name: rows[0] for name, rows in episode.infos.items()})
    np.testing.assert_array_equal(start, episode.observations[0])
    for row, action in enumerate(episode.actions):
        following, reward, *_ = env.step(action)
        np.testing.assert_array_equal(following, episode.next_observations[row])
        assert np.float32(reward) == episode.rewards[row]  # the rule, too, begins at the start that was set


def test_the_observation_of_a_pose_is_the_one_behind_the_wrappers(module: Callable[[str], str]) -> None:
    env: Any = make_env(EnvSection(id="door-binary-v0", wrappers=(f"{module(DOUBLE)}:Double",)))
    first, _ = env.reset(seed=4)
    np.testing.assert_array_equal(set_pose(env, pose_of(env)), first)
    np.testing.assert_array_equal(first, 2 * make_env("door-binary-v0").reset(seed=4)[0])


def test_processes_make_the_same_episodes_of_a_file_in_the_working_folder(module: Callable[[str], str]) -> None:
    name = module(RULE + "float(next_observation[0])\n")
    section = EnvSection(id="Pendulum-v1", horizon=10, reward=f"{name}:rule", rescale_actions=True)
    here, there = (list(rollouts(section, _random, [1, 2, 3], workers=workers)) for workers in (1, 2))
    for one, two in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.next_observations, two.next_observations)
        np.testing.assert_array_equal(one.rewards, two.rewards)
        np.testing.assert_array_equal(one.rewards, one.next_observations[:, 0])


def _random() -> RandomController:
    return RandomController(np.full(1, -1.0), np.ones(1))
