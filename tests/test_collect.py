"""Collecting: the same file for the same seed, everything written down, nothing left after a failure."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.collect import CollectProgress, CollectReport, Plan, collect, ensure_datasets, plan
from awac_tr.collect.display import CollectDisplay
from awac_tr.data.storage.partial import summarize_partial
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.envs.episode import episode_seeds
from awac_tr.errors import CheckpointError, DatasetError, EnvError, RecipeError
from awac_tr.models.build import build_policy
from awac_tr.policies.checkpoint import load_policy, policy_entry, save_checkpoint
from awac_tr.policies.controllers import load_controller
from awac_tr.recipes.schema import EnvSection, PolicySection
from awac_tr.training.cloning import CloneProgress

CLONE = {"policy": {"hidden_sizes": [8]}, "max_updates": 20, "bc": {"check_every": 10, "validation_fraction": 0.5}}


def short(source: Any, **changes: Any) -> Plan:
    env = EnvSection(id=changes.pop("env", "door-binary-v0"), horizon=changes.pop("horizon", 12))
    return plan(source, **{"env": env, "n": 3, "seed": 5, "out": Path("a.hdf5"), **changes})


def save_policy(path: Path, env_id: str = "door-binary-v0") -> Path:
    facts, spec = env_info(env_id), PolicySection(hidden_sizes=(8,))
    sizes = {"observation_size": facts.observation_size, "action_size": facts.action_size}
    module = build_policy(spec, *sizes.values())
    entry = policy_entry(module, spec, **sizes, action_low=[-1.0], action_high=[1.0])
    return save_checkpoint(
        path, {"kind": "policy", "policy": entry, "env": {"id": env_id, "kwargs": {}, "horizon": 200}}
    )


@pytest.fixture
def random_play() -> Path:
    return collect(short("random", out=Path("play.hdf5"), n=4)).path


def hashes(path: Path) -> str:
    with open_dataset(path) as dataset:
        return dataset.content_hash


@pytest.mark.parametrize("source", ["random", "ou", "policy"])
def test_a_collected_file_is_valid_and_says_what_it_is(source: str) -> None:
    policy = save_policy(Path("p.pt")) if source == "policy" else None
    report = collect(short(source, policy=policy, licence="CC0-1.0", description="a test"))
    noticed = {finding.code for finding in validate(report.path) if finding.severity != "note"}
    assert noticed == ({"action-scale"} if source == "policy" else set())  # an untrained policy hardly moves
    with open_dataset(report.path) as dataset:
        meta = dataset.meta
        assert (dataset.n_episodes, dataset.n_transitions, dataset.content_hash) == (3, 36, report.content_hash)
        assert [dataset.seed(i) for i in range(3)] == episode_seeds(5, 3)
        assert {"infos/qpos", "infos/qvel", "infos/success"} <= set(dataset.array_names)
    assert (meta.env_id, meta.horizon, meta.source, meta.seed, meta.licence) == (
        "door-binary-v0",
        12,
        source,
        5,
        "CC0-1.0",
    )
    assert meta.policy == {"random": "uniform actions", "ou": "Ornstein-Uhlenbeck noise, theta 0.15, sigma 0.3"}.get(
        source, "p.pt, mean actions"
    )
    assert report.measures["length"] == 12
    assert report.measures["return"] == -12
    assert [path.name for path in Path().iterdir() if path.suffix != ".pt"] == ["a.hdf5"]


@pytest.mark.parametrize("source", ["ou", "policy"])
def test_the_content_does_not_depend_on_the_number_of_workers(source: str) -> None:
    settings = {"policy": save_policy(Path("p.pt")), "mode": "sample"} if source == "policy" else {}
    wanted = [short(source, out=Path(f"{workers}.hdf5"), **settings) for workers in (1, 2)]
    made = [collect(each, workers=workers) for workers, each in enumerate(wanted, start=1)]
    assert len({report.content_hash for report in made}) == 1
    other = collect(short(source, out=Path("other.hdf5"), **{**settings, "seed": 6}))
    assert other.content_hash != made[0].content_hash


def test_a_clone_is_kept_beside_the_dataset_it_makes(random_play: Path) -> None:
    wanted = short("bc", dataset=random_play, options=CLONE)
    report = collect(wanted)
    assert report.clone == Path("a.clone.pt")
    clone = load_policy(report.clone)
    assert (clone.env.id, clone.spec.hidden_sizes) == ("door-binary-v0", (8,))
    with open_dataset(report.path) as dataset, open_dataset(random_play) as parent:
        meta = dataset.meta
        assert [(p.name, p.hash, p.source) for p in meta.parents] == [("play", parent.content_hash, "random")]
        first = dataset.episode(0)
    assert meta.extra["clone"]["file"] == "a.clone.pt"
    assert meta.extra["clone"]["settings"]["max_updates"] == 20
    # the clone in the file is the one that acted: same seed, same noise
    controller = load_controller(report.clone, "sample")
    controller.reset(first.seed)
    np.testing.assert_allclose(np.clip(controller.act(first.observations[0]), -1, 1), first.actions[0], atol=1e-6)
    assert collect(wanted, overwrite=True).content_hash == report.content_hash


def test_the_statistics_of_the_data_are_in_the_clone(random_play: Path) -> None:
    report = collect(short("bc", dataset=random_play, options={**CLONE, "bc": {"validation_fraction": 0.0}}))
    with open_dataset(random_play) as dataset:
        mean = dataset.rows("observations").astype(np.float64).mean(0)
    state = load_policy(report.clone or Path()).module.state_dict()
    locs = [value.numpy() for name, value in state.items() if name.endswith("loc")]
    assert any(np.allclose(loc, mean, atol=1e-5) for loc in locs)


def test_an_existing_file_is_refused_before_any_work(random_play: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was done")

    for name in ("sources._clone_source", "sources._noise_source", "run.rollouts", "run.require_env", "run.env_info"):
        monkeypatch.setattr(f"awac_tr.collect.{name}", work)
    for source, existing in (("random", "a.hdf5"), ("bc", "a.hdf5"), ("bc", "a.clone.pt")):
        Path(existing).write_text("precious")
        with pytest.raises(DatasetError, match=f"{existing} exists already"):
            collect(short(source, dataset=Path("missing.hdf5")))
        assert Path(existing).read_text() == "precious"
        Path(existing).unlink()


def full_after(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A disk with room for so many bytes more."""
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        nonlocal room
        room -= len(data)
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr("os.write", full)


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (1_000, 0), (60_000, 2), (650_000, 20)])
def test_a_full_disk_keeps_the_episodes_it_took(room: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = short("random", n=20, horizon=30)
    whole = collect(replace(wanted, out=Path("whole.hdf5")))
    with monkeypatch.context() as patch:
        full_after(patch, room)
        with pytest.raises(DatasetError, match="No space left on device") as caught:
            collect(wanted)
    found = summarize_partial(Path("a.hdf5.partial")) if kept else None
    assert (found.episodes if found else 0) == kept, caught.value
    assert sorted(path.name for path in Path().iterdir()) == ([] if not kept else ["a.hdf5.partial"]) + ["whole.hdf5"]
    assert (f"{kept} of 20 episodes are kept in a.hdf5.partial; --resume goes on." in str(caught.value)) == (kept > 0)
    assert collect(wanted, resume=True).content_hash == whole.content_hash


def test_an_interruption_keeps_the_clone_and_the_episodes(random_play: Path) -> None:
    def interrupt(progress: CollectProgress) -> None:
        if progress.episodes == 2:
            raise KeyboardInterrupt

    wanted = short("bc", dataset=random_play, options=CLONE)
    with pytest.raises(KeyboardInterrupt):
        collect(wanted, on_episode=interrupt)
    assert sorted(path.name for path in Path().iterdir()) == ["a.clone.pt", "a.hdf5.partial", "play.hdf5"]
    stamp = Path("a.clone.pt").stat().st_mtime_ns
    resumed = collect(wanted, resume=True)
    assert Path("a.clone.pt").stat().st_mtime_ns == stamp
    assert not Path("a.hdf5.partial").exists()
    assert resumed.content_hash == collect(replace(wanted, out=Path("b.hdf5"))).content_hash


@pytest.mark.parametrize("source", ["random", "ou", "policy", "bc", "demos"])
def test_resuming_what_is_complete_finds_it_complete(source: str, random_play: Path) -> None:
    more: dict[str, Any] = {"policy": save_policy(Path("p.pt"))} if source == "policy" else {}
    if source == "bc":
        more = {"dataset": random_play, "options": CLONE}
    wanted = short(source, **more)
    made = collect(wanted)
    stamp = wanted.out.stat().st_mtime_ns
    again = collect(wanted, resume=True)
    assert replace(again, seconds=0, steps_per_second=0) == replace(made, seconds=0, steps_per_second=0)
    for other, words in (
        (replace(wanted, seed=9), "seed: 5, now 9"),
        (replace(wanted, n=4), f"3 episodes of {source}, now 4 of {source}"),
        (replace(wanted, record_state=False), "the simulator's state is recorded"),
        (replace(wanted, description="another"), "description: , now another"),
    ):
        with pytest.raises(DatasetError, match=f"a.hdf5 exists already, and is another dataset: {words}"):
            collect(other, resume=True)
    if source == "bc":
        Path("a.clone.pt").write_bytes(b"another")
        with pytest.raises(DatasetError, match=r"a\.clone\.pt is not the clone that made it"):
            collect(wanted, resume=True)
        assert Path("a.clone.pt").read_bytes() == b"another"
    assert wanted.out.stat().st_mtime_ns == stamp
    assert not list(Path().glob("a.hdf5.*"))


def test_progress_counts_what_was_done(random_play: Path) -> None:
    seen: list[CollectProgress] = []
    report = collect(short("random"), on_episode=seen.append)
    assert [(p.episodes, p.total, p.steps, p.success) for p in seen] == [(i, 3, 12 * i, 0.0) for i in (1, 2, 3)]
    assert seen[-1].steps_per_second == report.steps_per_second > 36 / report.seconds


def test_on_a_terminal_there_is_one_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    with CollectDisplay() as display:
        display.on_check(CloneProgress(100, 1.0, 2.0, 1.5))
        for done in (1, 2, 3):
            display.on_episode(CollectProgress(done, 3, 12 * done, 1234.5, 1 / 3))
        assert display._live is not None
        tasks = [(task.description, task.completed, task.total) for task in display._live.tasks]
    assert tasks == [("episodes", 3, 3)]
    written = capsys.readouterr().err
    assert "3/3" in written
    assert "1,234 steps/s, success 33.3%" in written


def test_a_check_without_held_out_episodes_shows_the_loss_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (CloneProgress(100, 1.5, None, None), CloneProgress(100, 1.5, 2.5, 2.0)):
        with CollectDisplay() as display:
            display.on_check(progress)
    assert capsys.readouterr().err.splitlines() == [
        "cloning, update 100: loss 1.500",
        "cloning, update 100: held-out loss 2.500, best 2.000",
    ]


def test_clean_labels_are_the_policys_own_and_executed_ones_carry_the_noise(shared_data: Path) -> None:
    expert = shared_data / "experts" / "dapg_door.npz"
    options = {"action_noise": 0.3, "label": "clean"}
    noisy, clean = (
        collect(short("policy", policy=expert, options=o, out=Path(name))).path
        for name, o in (("noisy.hdf5", {"action_noise": 0.3}), ("clean.hdf5", options))
    )
    with open_dataset(noisy) as one, open_dataset(clean) as other:
        np.testing.assert_array_equal(one.rows("observations"), other.rows("observations"))
        executed, labels = one.rows("actions"), other.rows("actions")
        controller = load_controller(expert)
        expected = np.stack([controller.act(observation) for observation in other.rows("observations")])
        assert other.meta.extra["label"] == "clean"
        assert "noise of deviation 0.3" in other.meta.policy
    np.testing.assert_array_equal(labels, expected)
    inside = np.abs(executed) < 1
    assert np.std((executed - labels)[inside]) == pytest.approx(0.3, rel=0.25)


def test_the_task_must_be_the_policys(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a policy for pen-binary-v0"):
        collect(short("policy", policy=save_policy(tmp_path / "pen.pt", "pen-binary-v0")))
    with pytest.raises(EnvError, match=r"no demonstrator is packaged for Pendulum-v1(.|\n)*--policy FILE"):
        collect(short("demos", env="Pendulum-v1"))
    with pytest.raises(EnvError, match="unknown environment"):
        collect(short("random", env="dor-binary-v0"))
    assert not Path("a.hdf5").exists()


def test_an_environment_without_a_simulator_state_is_collected_without(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "awac_tr"):
        report = collect(short("random", env="Pendulum-v1"))
    with open_dataset(report.path) as dataset:
        assert not [name for name in dataset.array_names if name.startswith("infos/")]
        assert dataset.meta.action_high == (2.0,)
    assert "no MuJoCo state" in caplog.text


def test_what_is_not_said_comes_from_the_shipped_card() -> None:
    door = plan("bc")
    assert (door.env.id, door.n, door.seed, door.mode) == ("door-binary-v0", 500, 1, "sample")
    assert (door.out.name, door.dataset and door.dataset.name) == ("door-bc.hdf5", "door-demos.hdf5")
    assert plan("demos").n == 25
    ant = plan("ou", env="Ant-v5", options={"sigma": 0.5})
    assert (ant.n, ant.seed, ant.out.name) == (100, 0, "ant-ou.hdf5")
    assert ant.settings.model_dump() == {"theta": 0.15, "sigma": 0.5}
    with pytest.raises(RecipeError, match="max_updates"):
        plan("bc", options={"maxupdates": 3})


def card(name: str, **keys: Any) -> None:
    folder = Path(os.environ["AWAC_TR_DATA"])
    folder.mkdir(exist_ok=True)
    content = {"name": name, "env": "Pendulum-v1", "licence": "CC0-1.0", **keys}
    lines = [f"{key}: {value}" for key, value in content.items()]
    (folder / f"{name}.yaml").write_text("\n".join(lines))


def test_missing_datasets_are_made_from_their_cards_parents_first(caplog: pytest.LogCaptureFixture) -> None:
    card("play", source="random", n=3, seed=2)
    card("again", source="bc", parent="play", n=2, action="sample", options=CLONE)
    card("third", source="bc", parent="again", n=2, options=CLONE)
    with caplog.at_level("INFO", "awac_tr"):
        paths = ensure_datasets(["third", "play"])
    assert [path.name for path in paths] == ["third.hdf5", "play.hdf5"]
    said = [record.message for record in caplog.records if "is missing" in record.message]
    assert [next(name for name in ("play", "again", "third") if f"{name}.hdf5" in text) for text in said] == [
        "play",
        "again",
        "third",
    ]
    with open_dataset(paths[0]) as dataset:
        assert dataset.meta.parents[0].name == "again"
        assert (dataset.meta.licence, dataset.meta.seed) == ("CC0-1.0", 0)
    modified = [path.stat().st_mtime_ns for path in paths]
    assert ensure_datasets(["third", "play"]) == paths
    assert [path.stat().st_mtime_ns for path in paths] == modified


def test_a_dataset_that_is_not_what_its_card_says_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    card("play", source="random", n=2)
    path = ensure_datasets(["play"])[0]
    card("play", source="random", n=2, hash=hashes(path))
    assert ensure_datasets(["play"]) == [path]
    card("play", source="random", n=2, hash="sha256:" + 64 * "0")
    with pytest.raises(DatasetError, match="its card says sha256:0000"):
        ensure_datasets(["play"])
    card("play", source="random", n=5)
    with caplog.at_level("WARNING", "awac_tr"):
        ensure_datasets(["play"])
    assert "not as its card says: episodes 2, not 5" in caplog.text
    card("play", source="random", n=2, env="door-binary-v0")
    with pytest.raises(DatasetError, match="is not of its card's environment: id Pendulum-v1, not door-binary-v0"):
        ensure_datasets(["play"])
    assert ensure_datasets([str(path)]) == [path]


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    card("human", source="import", options="{format: hand_dapg}", description="From a friend.")
    with pytest.raises(DatasetError) as caught:
        ensure_datasets(["human"])
    assert "From a friend." in caught.value.message
    assert "awac-tr data import FILE --format hand_dapg --env Pendulum-v1 --out" in caught.value.hint
    with pytest.raises(DatasetError, match=r"no dataset at .*none\.hdf5"):
        ensure_datasets([str(tmp_path / "none.hdf5")])
    with pytest.raises(RecipeError, match="no dataset card 'dor-demos'"):
        ensure_datasets(["dor-demos"])
    card("hen", source="bc", parent="egg", n=1)
    card("egg", source="bc", parent="hen", n=1)
    with pytest.raises(DatasetError, match="each other's parents: hen <- egg <- hen"):
        ensure_datasets(["hen"])
    with pytest.raises(DatasetError, match=r"no dataset to clone at .*missing\.hdf5"):
        collect(short("bc", dataset=Path("missing.hdf5")))


def test_the_dataset_to_clone_is_collected_first_if_it_has_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    card("play", source="random", n=3)
    report: CollectReport = collect(short("bc", env="Pendulum-v1", dataset="play", options=CLONE))
    assert (Path(os.environ["AWAC_TR_DATA"]) / "play.hdf5").is_file()
    with pytest.raises(DatasetError, match="observation"):
        collect(replace(short("bc", dataset="play", options=CLONE, out=Path("b.hdf5"))))
    assert report.episodes == 3
