"""What strangers' files hold cannot act on a terminal: every command, on a real one, over files full of escapes."""

from __future__ import annotations

import json
import os
import pickle
import pty
import sys
import threading
import tty
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pytest
import torch

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode
from awac_tr.errors import AwacError, plain

EVIL = "\x1b]0;owned\x07\x9b2J\x1b[1A\r\u202e[red]\nforged: sound"
"""A new title, a cleared screen, a line overwritten, writing turned round, rich's markup, a false line of output."""

YAML_EVIL = json.dumps(EVIL)
ROWS = 12


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind that is read, each with the text wherever its format has room for one."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "datasets").mkdir()
    for name in ("mine", EVIL):
        _dataset(folder / "datasets" / f"{name}.hdf5")
    _evil_attributes(folder)
    _others(folder)
    _recipes(folder)
    _policies(folder)
    _run(folder)
    return folder


def _dataset(path: Path, infos: dict[str, Any] | None = None) -> None:
    rng, last = np.random.default_rng(0), np.arange(ROWS) == ROWS - 1
    states = rng.normal(size=(ROWS + 1, 3)).astype(np.float32)
    actions, rewards = rng.uniform(-1, 1, (ROWS, 1)).astype(np.float32), -np.ones(ROWS, np.float32)
    with DatasetWriter(path, DatasetMeta("Pendulum-v1", "bc", [-2], [2], horizon=200)) as writer:
        for seed in range(2):
            writer.append(Episode(states[:-1], actions, rewards, states[1:], last & False, last, infos or {}, seed))
        writer.finish()


def _evil_attributes(folder: Path) -> None:
    """One dataset a place where a text of a file is shown, since the first that is refused hides the others."""
    texts = {
        "env_id": EVIL,
        "source": EVIL,
        "policy": EVIL,
        "description": EVIL * 1000,
        "env_options": json.dumps({EVIL: EVIL}),
        "env_kwargs": json.dumps({EVIL: EVIL}),
        "versions": json.dumps({EVIL: EVIL, "mujoco": EVIL}),
        "parents": json.dumps([{"name": EVIL, "hash": EVIL, "source": EVIL}]),
        "format_version": EVIL,
        "content_hash": EVIL,
    }
    for name, text in texts.items():
        path = folder / "datasets" / f"attribute-{name}.hdf5"
        _dataset(path)
        with h5py.File(path, "r+") as file:
            file.attrs[name] = np.bytes_(text.encode())
    with h5py.File(folder / "datasets" / "mine.hdf5") as mine, h5py.File(folder / "names.hdf5", "w") as names:
        for key in ("observations", "actions", "rewards", "terminals"):
            names[key] = mine[key][...]
        for key in (EVIL, f"infos/{EVIL}", "infos/x"):
            names[key] = np.zeros(3)
    _dataset(folder / "inner.hdf5")
    with h5py.File(folder / "inner.hdf5", "r+") as file:
        file[f"infos/{EVIL}"] = np.full(2 * ROWS, np.nan)
        file[EVIL] = np.zeros(2)


def _others(folder: Path) -> None:
    """Files of other tools."""
    with h5py.File(folder / "robomimic.hdf5", "w") as file:
        demo = file.create_group(f"data/demo_{EVIL}")
        demo["actions"] = np.zeros((3, 1))
        demo[f"obs/{EVIL}"] = np.zeros((3, 3))
        demo["obs/text"] = np.bytes_(b"x")
        file[f"mask/{EVIL}"] = np.array([b"nobody"])
    (folder / "demos.pkl").write_bytes(b"\x80\x02c" + EVIL.encode().replace(b"\n", b"") + b"\nsystem\n.")
    (folder / "list.pkl").write_bytes(pickle.dumps([{EVIL: EVIL}]))
    minari = folder / "minari" / "data"
    minari.mkdir(parents=True)
    space = json.dumps({"type": EVIL, "subspaces": {EVIL: {}}})
    (minari / "metadata.json").write_text(json.dumps({"dataset_id": EVIL, "observation_space": space}))
    h5py.File(minari / "main_data.hdf5", "w").close()
    lerobot = folder / "lerobot" / "meta"
    lerobot.mkdir(parents=True)
    info = {"codebase_version": "v3." + EVIL, "features": {EVIL: {"dtype": "float32", "shape": [3]}}}
    (lerobot / "info.json").write_text(json.dumps(info))
    np.savez(folder / "arrays.npz", **{EVIL: np.zeros(3)})
    with zipfile.ZipFile(folder / "agent.zip", "w") as archive:
        archive.writestr("data", json.dumps({EVIL: EVIL, "policy_class": {":type:": EVIL}}))
        archive.writestr("policy.pth", EVIL)
        archive.writestr("_stable_baselines3_version", EVIL)
        archive.writestr(EVIL, EVIL)


def _recipes(folder: Path) -> None:
    recipe = "env: {id: Pendulum-v1}\ndata: {datasets: [mine]}\nonline: {steps: 0}\n"
    (folder / "keys.yaml").write_text(f"name: x\n{YAML_EVIL}: 1\n{recipe}")
    (folder / "values.yaml").write_text(f"name: {YAML_EVIL}\nalgorithm: {YAML_EVIL}\n{recipe}")
    (folder / "env.yaml").write_text(f"name: x\nenv: {{id: {YAML_EVIL}}}\ndata: {{datasets: [{YAML_EVIL}]}}\n")
    (folder / "raw.yaml").write_text("# " + EVIL.replace("\n", "").replace("\r", "") + "\nname: x\n", encoding="utf-8")
    (folder / "datasets" / "card.yaml").write_text(f"source: {YAML_EVIL}\n{YAML_EVIL}: 2\n")


def _policies(folder: Path) -> None:
    torch.save({"format": "awac-tr-checkpoint", "version": 1, "kind": EVIL}, folder / "kind.pt")
    torch.save({EVIL: torch.zeros(2)}, folder / "keys.pt")
    torch.save(torch.nn.Linear(1, 1), folder / "code.pt")


def _run(folder: Path) -> None:
    run = folder / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(f"name: {YAML_EVIL}\nenv: {{id: Pendulum-v1}}\ndata: {{datasets: [mine]}}\n")
    (run / "record.json").write_text(json.dumps({"name": EVIL, "recipe": EVIL, "versions": {EVIL: EVIL}}))
    row = {"event": "eval", "phase": EVIL, "update": 0, "env_step": 0, "return": -1.0, "length": 3.0, "episodes": 1}
    (run / "metrics.jsonl").write_text(json.dumps(row) + "\n" + EVIL + "\n")


DATASETS = (
    "mine",
    f"datasets/{EVIL}.hdf5",
    *(
        f"attribute-{name}"
        for name in (
            "env_id", "source", "policy", "description", "env_options", "env_kwargs", "versions", "parents",
            "format_version", "content_hash",
        )
    ),
    "names.hdf5",
    "inner.hdf5",
    f"missing-{EVIL}.hdf5",
)  # fmt: skip
FILES = ("robomimic.hdf5", "demos.pkl", "list.pkl", "minari", "lerobot", "arrays.npz", "agent.zip", "names.hdf5", EVIL)

COMMANDS: dict[str, list[list[str]]] = {
    "data list": [[], ["--problems"], ["--env", EVIL], [EVIL]],
    "data info": [[name] for name in (*DATASETS, *FILES, "keys.pt", "keys.yaml", "run")],
    "data validate": [[name] for name in (*DATASETS, *FILES)] + [["inner.hdf5", "--fix", "--out", f"{EVIL}.hdf5"]],
    "data plot": [[name, "--out", f"{EVIL}.png", "--only", "returns"] for name in (*DATASETS[:4], *FILES)],
    "data report": [[f"datasets/{EVIL}.hdf5", "--out", f"{EVIL}.html"], ["inner.hdf5", "--out", "x.html"]],
    "data replay": [[name] for name in (*DATASETS, *FILES)] + [["mine", "--episodes", EVIL]],
    "data import": [[name, "--out", f"out-{EVIL}", "--force"] for name in (*FILES, *DATASETS)]
    + [["robomimic.hdf5", "--filter-key", EVIL, "--out", "x"], ["lerobot", "--obs-keys", EVIL, "--out", "x"]],
    "data export": [[name, "--format", "d4rl", "--out", EVIL] for name in DATASETS],
    "data merge": [["mine", name, "--out", EVIL] for name in DATASETS[1:]],
    "data split": [[name, "--parts", f"{EVIL}=0.5"] for name in DATASETS[:3]] + [["mine", "--parts", "a=0.5"]],
    "data from-run": [["run", "--out", EVIL], [EVIL, "--out", "x"]],
    "data filter": [[name, "--where", EVIL, "--out", "x"] for name in DATASETS[:3]]
    + [["mine", "--limit", "1", "--out", f"{EVIL}.hdf5"]],
    "collect": [
        ["--card", "card"],
        ["--card", EVIL],
        ["--source", "bc", "--from", "attribute-parents", "--env", EVIL],
        ["--source", "bc", "--from", "x", "--env", "Pendulum-v1", "--set", f"{EVIL}=2"],
        ["--source", "random", "--env", "env.yaml"],
        ["--source", "policy", "--policy", "keys.pt"],
        ["--source", "random", "--env", "Pendulum-v1", "--env-set", f"{EVIL}=1", "--n", "1"],
        ["--source", "random", "--env", "Pendulum-v1", "--n", "1", "--out", f"new-{EVIL}.hdf5", "--description", EVIL],
    ],
    "train": [
        *([name] for name in ("keys.yaml", "values.yaml", "env.yaml", "raw.yaml", "mine", EVIL)),
        ["values.yaml", "algorithm.name=bc", "offline.updates=1", "eval.episodes=1", "offline.batch_size=4"],
        ["--resume", "run"],
        ["--resume", EVIL],
    ],
    "eval": [
        [name, "--env", "Pendulum-v1", "--episodes", "1"]
        for name in ("kind.pt", "keys.pt", "code.pt", "agent.zip", "arrays.npz", "mine.hdf5", "run", EVIL)
    ],
    "plot": [["run"], [EVIL]],
    "bench": [["keys.yaml"], [EVIL], ["values.yaml", f"{EVIL}=1"]],
    "recipes list": [[]],
    "recipes show": [["raw.yaml"], ["values.yaml", "--resolved"], ["values.yaml", "algorithm.name=bc"], [EVIL]],
    "recipes copy": [["raw.yaml", f"{EVIL}.yaml"], [EVIL, "x"]],
    "recipes check": [["keys.yaml", "values.yaml", "env.yaml", "raw.yaml", "datasets/card.yaml", EVIL]],
    "envs list": [[EVIL]],
    "envs show": [[EVIL], ["env.yaml"], ["Pendulum-v1"], ["Pendulum-v1", "--env-set", f"{EVIL}=1"]],
    "doctor": [[]],
}


def commands(group: click.Group = main, before: str = "") -> Iterator[str]:
    """All commands there are, with their groups."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


def on_terminal(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """What a command writes to a pseudo-terminal, byte by byte, and its exit code."""
    mine, its = pty.openpty()
    tty.setraw(its)
    got: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(mine, 1 << 16):
                got.append(piece)
        except OSError:  # closed at the other end
            return

    reader = threading.Thread(target=read)
    reader.start()
    code: Any = 0
    with os.fdopen(its, "w", encoding="utf-8", buffering=1) as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        try:
            main(arguments, prog_name="awac-tr")
        except SystemExit as end:
            code = end.code
    reader.join()
    os.close(mine)
    return b"".join(got).decode(), int(code or 0)


def test_every_command_is_tried() -> None:
    assert set(commands()) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_texts_of_strangers_are_shown_and_do_not_act(here: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setenv("TERM", "dumb")  # so that no display of ours moves the cursor either
    monkeypatch.setenv("AWAC_TR_DATA", "datasets")
    shown = ""
    for arguments in COMMANDS[command]:
        said, code = on_terminal([*command.split(), *arguments], monkeypatch)
        assert code in (0, 1, 2), said
        assert "fault of awac-tr" not in said, said
        assert not [one for one in said if not one.isprintable() and one != "\n"], ascii(said)
        assert not [line for line in said.splitlines() if line.lstrip().startswith("forged")], said
        shown += said
    if command not in ("recipes list", "doctor"):
        assert r"\x1b]0;owned" in shown, shown


def test_colours_of_ours_reach_a_terminal_that_has_them(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for said, colour in (("validate", "\x1b[36mnote\x1b[0m"), ("info", "\x1b[1mmine.hdf5\x1b[0m")):
        assert colour in on_terminal(["data", said, "datasets/mine.hdf5"], monkeypatch)[0]


def test_a_name_that_no_disk_takes_is_a_mistake_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("data info", "data import --out x", "train", "eval", "plot", "data list"):
        said, code = on_terminal([*command.split(), "x" * 300], monkeypatch)
        assert (code, "File name too long: xxx" in said) == (2, True), said


def test_errors_are_plain_whoever_prints_them() -> None:
    error = AwacError(EVIL, EVIL, details=[EVIL] * 1000)
    assert str(error).isprintable() is False  # it has lines of its own
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert len(str(error).split("\n")) == 103
    assert len(plain("x" * 10**6)) < 5000
    assert len(pickle.loads(pickle.dumps(error)).message) == len(error.message)  # noqa: S301
