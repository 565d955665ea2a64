"""Where episodes of flat files end: arrays that name it are used, contradictions refused, resets are no steps."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from awac_tr.data.convert.episode_ends import role_of
from awac_tr.data.convert.flags import as_flags
from awac_tr.data.convert.importer import ImportReport, ImportSettings, import_dataset
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

Arrays = dict[str, Any]
NEXT = "next_observations"
ENV = "MountainCarContinuous-v0"


@pytest.fixture(scope="module")
def played() -> Arrays:
    """Four episodes: cut after 60 steps, two that reach the flag, cut after 50 steps (as in d3rlpy#312)."""
    env, parts = gym.make(ENV), []
    for seed, most in enumerate((60, 999, 999, 50)):
        state, _ = env.reset(seed=seed)
        for step in range(most):
            action = np.array([0.9 if state[1] >= 0 else -0.9], np.float32)
            after, reward, over, _, _ = env.step(action)
            parts.append((state, action, reward, after, over, not over and step == most - 1))
            state = after
            if over:
                break
    env.close()
    names = ("observations", "actions", "rewards", NEXT, "terminals", "timeouts")
    return {name: np.array(rows) for name, rows in zip(names, zip(*parts, strict=True), strict=True)}


def last(a: Arrays) -> Any:
    return a["terminals"] | a["timeouts"]


def stops(a: Arrays) -> Any:
    return np.flatnonzero(last(a)) + 1


def starts(a: Arrays) -> Any:
    return np.append(True, last(a)[:-1])


def steps(a: Arrays) -> Any:
    return np.concatenate([np.arange(length) for length in np.diff(stops(a), prepend=0)])


BOTH = ("terminals", "timeouts")
MARKS = {
    "d3rlpy 1": lambda a: {"terminals": a["terminals"], "episode_terminals": last(a).astype(np.float32)},
    "episode_terminals beside all": lambda a: {name: a[name] for name in BOTH} | {"episode_terminals": last(a)},
    "episode_terminals beside blank timeouts": lambda a: {
        "terminals": a["terminals"],
        "timeouts": np.zeros(len(a["rewards"]), bool),
        "episode_terminals": last(a),
    },
    "terminations and truncations": lambda a: {"terminations": a["terminals"], "truncations": a["timeouts"]},
    "dones beside terminals": lambda a: {"terminals": a["terminals"], "dones": last(a)},
    "dones beside timeouts": lambda a: {"dones": last(a), "timeouts": a["timeouts"]},
    "dones are the terminals": lambda a: {"dones": a["terminals"], "truncated": a["timeouts"]},
    "dones of the task, and borders": lambda a: {"done": a["terminals"], "episode_ends": stops(a)},
    "masks": lambda a: {"masks": 1.0 - a["terminals"], "timeouts": a["timeouts"]},
    "rows after the last": lambda a: {"terminals": a["terminals"], "meta/episode_ends": stops(a)},
    "last rows": lambda a: {"terminals": a["terminals"], "episode_ends": stops(a) - 1},
    "first rows": lambda a: {"terminals": a["terminals"], "episode_starts": np.flatnonzero(starts(a))},
    "flags of first rows": lambda a: {"terminals": a["terminals"], "episode_starts": starts(a).astype(np.uint8)},
    "numbers": lambda a: {"terminals": a["terminals"], "episode_id": np.cumsum(starts(a)) + 7},
    "indices": lambda a: {"terminals": a["terminals"], "traj_ids": np.cumsum(starts(a))[:, None]},
    "lengths": lambda a: {"terminals": a["terminals"], "episode_lengths": np.diff(stops(a), prepend=0)},
    "steps from 0": lambda a: {"terminals": a["terminals"], "timestep": steps(a)},
    "steps from 1, and one count of all": lambda a: {
        "terminals": a["terminals"],
        "frame_index": steps(a) + 1.0,
        "steps": np.arange(len(a["rewards"])),
    },
    "dm_env's kinds of steps": lambda a: {
        "terminals": a["terminals"],
        "step_type": np.where(last(a), 2, np.where(starts(a), 0, 1)),
    },
    "not done beside timeouts": lambda a: {"not_done": 1.0 - last(a), "timeouts": a["timeouts"]},
    "text": lambda a: {name: a[name].astype("S5") for name in BOTH},
    "columns of doubles": lambda a: {name: a[name].astype(np.float64)[:, None] for name in BOTH},
    "TimeLimit's own": lambda a: {"terminals": a["terminals"], "infos/TimeLimit.truncated": a["timeouts"]},
    "only states show the cuts": lambda a: {"terminals": a["terminals"]},
    "blank timeouts, states show": lambda a: {"terminals": a["terminals"], "timeouts": np.zeros(len(a["rewards"]))},
}


def save(arrays: Arrays, *without: str, path: str = "flat.hdf5") -> str:
    with h5py.File(path, "w") as file:
        for name, rows in arrays.items():
            if name not in without:
                file[name] = rows
    return path


def unmarked(a: Arrays) -> Arrays:
    return {name: rows for name, rows in a.items() if name not in BOTH}


def bring(path: str, env_id: str | EnvSection = ENV, **settings: Any) -> tuple[ImportReport, Arrays]:
    report = import_dataset(path, "out.hdf5", settings=ImportSettings(env_id=env_id, **settings), overwrite=True)
    assert {finding.code for finding in validate("out.hdf5") if finding.severity != "note"} == set()
    with open_dataset("out.hdf5") as dataset:
        return report, dataset.arrays(dataset.array_names) | {"bounds": dataset.episode_bounds}


@pytest.mark.parametrize("marks", MARKS)
def test_every_array_that_names_ends_is_used(played: Arrays, marks: str) -> None:
    report, found = bring(save(unmarked(played) | MARKS[marks](played)))
    for name in BOTH:
        np.testing.assert_array_equal(found[name], played[name], err_msg=name)
    np.testing.assert_array_equal(found[NEXT], played[NEXT])
    assert any("episodes end by" in note for note in report.notes)


@pytest.mark.parametrize("marks", [name for name in MARKS if "states show" not in name])
def test_the_same_without_next_observations(played: Arrays, marks: str) -> None:
    _, found = bring(save(unmarked(played) | MARKS[marks](played), NEXT))
    kept = np.flatnonzero(~played["timeouts"])
    np.testing.assert_array_equal(found["terminals"], played["terminals"][kept])
    np.testing.assert_array_equal(found["observations"], played["observations"][kept])
    assert len(found["bounds"]) == 4


@pytest.mark.parametrize("marks", [{"dones": last}, {"not_dones": lambda a: ~last(a)}, {"timestep": steps}])
def test_ends_of_unknown_kind_are_asked_about_or_known_from_the_environment(played: Arrays, marks: Arrays) -> None:
    path = save(unmarked(played) | {name: made(played) for name, made in marks.items()})
    with pytest.raises(DatasetError, match="whether the task ended") as caught:
        bring(path)
    assert "--dones" in caught.value.hint
    assert bring(path, dones="cut")[1]["timeouts"].sum() == 4
    import_dataset(path, "terminal.hdf5", settings=ImportSettings(dones="terminal"))
    with open_dataset("terminal.hdf5") as dataset:
        assert dataset.arrays(["terminals"])["terminals"].sum() == 4
    arrays = {"observations": np.zeros((9, 3)), "actions": np.zeros((9, 1)), "rewards": -np.ones(9)}
    pendulum = save(arrays | {"dones": np.arange(9) == 4}, path="pendulum.hdf5")
    import_dataset(pendulum, "p.hdf5", settings=ImportSettings(env_id="Pendulum-v1"))
    with open_dataset("p.hdf5") as dataset:
        assert not dataset.arrays(["terminals"])["terminals"].any()


def moved(rows: Any) -> Any:
    return np.roll(rows, 3)


CONTRADICTIONS = {
    "terminals": lambda a: {"episode_terminals": moved(last(a))},
    "timeouts": lambda a: {"dones": moved(last(a))},
    "terminations": lambda a: {"terminations": moved(a["terminals"])},
    "episode_id": lambda a: {"episode_id": np.arange(len(a["rewards"])) // 100},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_refused_until_the_user_decides(played: Arrays, name: str) -> None:
    path = save(played | CONTRADICTIONS[name](played))
    with pytest.raises(DatasetError, match=rf"{name}.* contradict each other.*first row \d+") as caught:
        bring(path)
    assert "--ends" in caught.value.hint
    _, found = bring(path, ends=BOTH)
    np.testing.assert_array_equal(found["terminals"], played["terminals"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"terminals": lambda a: np.where(a["terminals"], 1, np.nan)}, "no flags in terminals: row 0 holds nan"),
        ({"timeouts": lambda a: -1 * a["timeouts"]}, "no flags in timeouts: row 59 holds -1"),
        ({"terminals": lambda a: np.where(a["terminals"], b"end", b"0")}, "holds 'end'"),
        ({"terminals": lambda a: ~a["terminals"]}, "set in 9.% of rows.*contradicts next_observations"),
        ({"episode_lengths": lambda a: np.array([100, 50])}, "episode_lengths does not fit"),
        ({"episode_id": lambda a: np.arange(len(a["rewards"])) % 4}, "do not lie together"),
        ({name: lambda a, name=name: np.roll(a[name], 1) for name in BOTH}, "3 rows with an end flag that belongs"),
        ({name: lambda a, name=name: np.roll(a[name], -1) for name in BOTH}, "rows with an end flag that belongs"),
        ({"step_type": lambda a: 3 + steps(a)}, "step_type holds other values"),
        ({"resets": starts}, "resets may say where episodes end"),
        ({"terminals": lambda a: np.zeros((3, 2))}, "terminals has shape"),
    ],
)
def test_what_is_not_certain_is_refused(played: Arrays, changed: Arrays, message: str) -> None:
    path = save(played | {name: change(played) for name, change in changed.items()})
    with pytest.raises(DatasetError, match=message):
        bring(path)


def test_flags_as_others_store_them() -> None:
    for array in (["True", "False"], [b"1", b"0"], [1.0, 0.0], [np.uint8(1), np.uint8(0)], [" TRUE", "f"]):
        assert as_flags("f", "done", np.array(array), 2).tolist() == [True, False]
    assert role_of("episode_returns") is None
    assert role_of("next.done") == "dones"


def test_rounding_is_no_border(played: Arrays) -> None:
    report, found = bring(save(played | {NEXT: played[NEXT].astype(np.float64) * (1 + 2e-7)}))
    assert len(found["bounds"]) == 4
    assert any("differ from the observation of the row after, which was taken" in note for note in report.notes)


def test_what_people_keep_of_qlearning_dataset(played: Arrays) -> None:
    """Diffusion-Policies-for-Offline-RL#6: no timeouts, cut episodes one row short, terminal rows lead to the reset."""
    kept = ~played["timeouts"]
    arrays = {name: rows[kept] for name, rows in played.items()}
    following = np.append(played["observations"][1:], played[NEXT][-1:], axis=0)[kept]
    _, found = bring(save(arrays | {NEXT: following}, "timeouts"))
    assert np.diff(found["bounds"]).ravel().tolist() == [59, *np.diff(stops(played))[:2], 49]


def test_no_border_to_be_seen_needs_a_horizon(played: Arrays) -> None:
    one = {name: rows[:60] for name, rows in played.items()}
    path = save(one, "timeouts")
    with pytest.raises(DatasetError, match="has no timeouts"):
        import_dataset(path, "out.hdf5")
    assert bring(path)[1]["bounds"].tolist() == [[0, 60]]
    path = save({name: rows[:60] for name, rows in played.items()} | {"timeouts": np.zeros(60)}, NEXT)
    short = EnvSection(id=ENV, horizon=20)
    with pytest.raises(DatasetError, match=r"timeouts is never set, but .* beyond the horizon of 20"):
        bring(path, env_id=short)
    assert bring(path, env_id=EnvSection(id=ENV, horizon=60))[1]["bounds"].tolist() == [[0, 59]]
    assert bring(path, horizon=20)[1]["bounds"].tolist() == [[0, 19], [19, 38], [38, 57]]
    assert bring(path, env_id=short, ends=BOTH)[1]["bounds"].tolist() == [[0, 59]]


def recorded(env_id: str, lanes: int = 1, steps: int = 500, **kwargs: Any) -> Arrays:
    """Every call of a vector environment written down, [steps, lanes, ...]: resets as steps (cleanrl#499)."""
    env = SyncVectorEnv([lambda: gym.make(env_id, **kwargs)] * lanes)
    env.action_space.seed(0)
    state, _ = env.reset(seed=0)
    rows = []
    for _ in range(steps):
        action = env.action_space.sample()
        after, reward, terminated, truncated, _ = env.step(action)
        rows.append([np.copy(one) for one in (state, action, reward, after, terminated, truncated)])
        state = after
    env.close()
    return {name: np.stack(part) for name, part in zip(names(), zip(*rows, strict=True), strict=True)}


def names() -> tuple[str, ...]:
    return ("observations", "actions", "rewards", NEXT, *BOTH)


def lane_after_lane(a: Arrays) -> Arrays:
    return {name: np.concatenate([rows[:, lane] for lane in range(rows.shape[1])]) for name, rows in a.items()}


@pytest.mark.parametrize("without", [(), (NEXT,), ("timeouts",)])
@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [("Hopper-v5", {}), ("Pendulum-v1", {}), (ENV, {"max_episode_steps": 60}), ("Reacher-v5", {})],
)
def test_an_autoreset_is_no_step(env_id: str, kwargs: Arrays, without: tuple[str, ...]) -> None:
    arrays = lane_after_lane(recorded(env_id, **kwargs))
    ends = last(arrays)
    steps = ~np.append(False, ends[:-1])
    report, found = bring(save(arrays, *without), env_id=env_id, horizon=kwargs.get("max_episode_steps"))
    if NEXT in without:
        steps[-1] = False
    np.testing.assert_array_equal(found["observations"], arrays["observations"][steps].astype(np.float32))
    np.testing.assert_array_equal(found[NEXT], arrays[NEXT][steps].astype(np.float32))
    np.testing.assert_array_equal(found["terminals"], arrays["terminals"][steps])
    assert any(f"{ends[:-1].sum()} rows left out: in them a vector environment reset" in one for one in report.notes)
    assert report.transitions + report.dropped == len(ends)


def test_several_environments() -> None:
    arrays = recorded("Hopper-v5", lanes=3, steps=200)
    _, found = bring(save(lane_after_lane(arrays)), env_id="Hopper-v5")
    ends = last(arrays)
    assert len(found["rewards"]) == ends.size - ends[:-1].sum()
    in_turn = {name: rows.reshape(-1, *rows.shape[2:]) for name, rows in arrays.items()}
    with pytest.raises(DatasetError, match="the steps of 3 environments lie in turn"):
        bring(save(in_turn), env_id="Hopper-v5")
