"""Files that are not what they should be: one clear message each, exit code 2, and nothing in them is ever run."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.data.storage.reader import open_dataset
from awac_tr.errors import CheckpointError
from awac_tr.policies.controllers import load_controller

TRUST = "--trust"


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def flagged(content: bytes) -> bytes:
    """Every member marked as encrypted, in its header and in the table of contents."""
    raw = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 1)
    return bytes(raw)


def bomb(forge: Any) -> Path:
    path = forge.folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data", "w") as stream:
        for _ in range(8):
            stream.write(bytes(1 << 20))
    assert path.stat().st_size < 100_000
    return path


def lying_bomb(forge: Any) -> Path:
    """A bomb whose table of contents claims a thousand bytes."""

    def lie(content: bytes) -> bytes:
        raw = bytearray(content)
        at = raw.rfind(b"PK\x01\x02") + 24
        raw[at : at + 4] = (1000).to_bytes(4, "little")
        return bytes(raw)

    return rewrite(bomb(forge), lie)


def inner_bomb(forge: Any, save: Callable[..., bytes]) -> Path:
    """``policy.pth`` packed again, compressed: torch would unpack it without asking how large it becomes."""
    plain, packed = forge.folder / "plain", forge.folder / "packed"
    plain.write_bytes(save({"actor.mu.0.weight": torch.zeros(1000, 1000)}))
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return forge.write(policy=packed.read_bytes())


def with_tensor(forge: Any, value: Any, name: str = "actor.mu.0.weight") -> Path:
    forge.tensors[name] = value
    return forge.write()


def crowded(forge: Any) -> Path:
    return forge.write(**{f"part{i}": b"" for i in range(1001)})


def doubled(forge: Any) -> Path:
    path = forge.write()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("policy.pth", b"another")
    return path


def wide_end(forge: Any) -> Path:
    """A 64-bit table of contents that claims the whole world, behind an innocent one."""
    end = b"PK\x06\x06" + bytes(28) + (1 << 40).to_bytes(8, "little") + (1 << 40).to_bytes(8, "little") + bytes(8)
    locator = b"PK\x06\x07" + bytes(16)

    def insert(content: bytes) -> bytes:
        at = content.rfind(b"PK\x05\x06")
        return content[:at] + end + locator + content[at:]

    return rewrite(forge.write(), insert)


def legacy(forge: Any, save: Callable[..., bytes]) -> Path:
    return forge.write(policy=save(forge.tensors, _use_new_zipfile_serialization=False))


def flipped(forge: Any) -> Path:
    """One bit of a weight, where the checksum of the outer zip is made to fit again."""
    raw = bytearray(forge.policy())
    raw[raw.find(forge.tensors["actor.mu.2.weight"].numpy().tobytes()) + 7] ^= 1
    return forge.write(policy=bytes(raw))


HOSTILE: dict[str, tuple[Callable[..., Path], str]] = {
    "missing": (lambda f: f.folder / "none.zip", "no policy at"),
    "no zip": (lambda f: rewrite(f.write(), lambda _: b"PK\x03\x04 hello"), "no zip, truncated or damaged"),
    "empty": (lambda f: rewrite(f.write(), lambda _: b""), "no zip, truncated or damaged"),
    "truncated": (lambda f: rewrite(f.write(), lambda c: c[: len(c) // 2]), "no zip, truncated or damaged"),
    "beginning cut off": (lambda f: rewrite(f.write(), lambda c: c[1000:]), "no zip, truncated or damaged"),
    "encrypted": (lambda f: rewrite(f.write(), flagged), "it is encrypted"),
    "bomb": (bomb, "its data would stand for more than"),
    "lying bomb": (lying_bomb, "no zip, truncated or damaged"),
    "crowded": (crowded, "table of contents"),
    "wide end": (wide_end, "table of contents"),
    "doubled": (doubled, "two of its parts have the same name"),
    "path upwards": (lambda f: f.write(**{"../../evil.sh": b"rm"}), "points out of the archive"),
    "absolute path": (lambda f: f.write(**{"/etc/passwd": b"me"}), "points out of the archive"),
    "windows path": (lambda f: f.write(**{"..\\evil.bat": b"del"}), "points out of the archive"),
    "no data": (lambda f: f.write(data=None), "no part 'data'"),
    "data is no json": (lambda f: f.write(data=b"{"), "not readable JSON"),
    "data is deep": (lambda f: f.write(data=b"[" * 200_000), "not readable JSON"),
    "data is a list": (lambda f: f.write(data=b"[]"), "not a JSON object"),
    "data says nothing": (lambda f: f.write(data=b"{}"), "says nothing of 'policy_class'"),
    "no policy.pth": (lambda f: f.write(**{"policy.pth": None}), "no part 'policy.pth'"),
    "evil policy.pth": (lambda f, save: f.write(policy=save({"a": f.evil()})), "nothing of it was run"),
    "policy.pth is a list": (lambda f, save: f.write(policy=save([1, 2])), "not a dictionary of named tensors"),
    "policy.pth is text": (lambda f: f.write(policy=b"hello"), "its policy.pth is damaged"),
    "policy.pth of old torch": (legacy, "not of torch 1.6 or later"),
    "inner bomb": (inner_bomb, "compressed, which torch never does"),
    "flipped bit": (flipped, "its policy.pth is damaged"),
    "huge tensor": (lambda f: with_tensor(f, torch.zeros(1).expand(1 << 20, 1 << 20)), "without its numbers"),
    "huge empty tensor": (
        lambda f: with_tensor(f, torch.empty(1 << 20, 1 << 20, device="meta")),
        "holds more than tensors",
    ),
    "sparse tensor": (lambda f: with_tensor(f, torch.eye(8).to_sparse()), "holds more than tensors"),
    "whole numbers": (lambda f: with_tensor(f, torch.ones(8, 5, dtype=torch.int64)), "not a plain floating-point"),
    "no tensor": (lambda f: with_tensor(f, "hello"), "not a plain floating-point tensor"),
    "nan": (lambda f: with_tensor(f, torch.full((8, 5), torch.nan)), "its training diverged"),
    "layers that do not follow": (lambda f: with_tensor(f, torch.ones(7, 3)), "do not fit"),
    "a layer of another shape": (lambda f: with_tensor(f, torch.ones(8)), "is no linear layer"),
    "terminal codes": (lambda f: with_tensor(f, torch.ones(1), "\x1b[2J"), r"the tensors '\x1b[2J' is not known"),
}


@pytest.fixture
def swing(forge: Any) -> Any:
    """Makes agents for Pendulum-v1."""
    forge.observations, forge.actions, forge.low, forge.high = 3, 1, "[-2.]", "[2.]"
    return forge.of("td3")


def test_one_that_is_as_it_should_be_is_taken(swing: Any) -> None:
    path = swing.write()
    result = CliRunner().invoke(main, ["eval", str(path), "--env", "Pendulum-v1", "--episodes", "1"])
    assert result.exit_code == 0, result.output
    assert "Pendulum-v1, 1 episode" in result.stdout


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_it_is_refused_in_one_message(swing: Any, save: Any, make: Callable[..., Path], message: str) -> None:
    path = make(swing, save) if "save" in make.__code__.co_varnames[: make.__code__.co_argcount] else make(swing)
    before = set(swing.folder.iterdir())
    for arguments in (
        ("eval", path, "--env", "Pendulum-v1"),
        ("collect", "--source", "policy", "--policy", path, "--env", "Pendulum-v1", "--out", "a.hdf5", "--quiet"),
    ):
        result = CliRunner().invoke(main, list(map(str, arguments)))
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.stderr
    assert set(swing.folder.iterdir()) == before


def strange(forge: Any, **changes: Any) -> Path:
    forge.data |= changes
    return forge.write()


def kwargs(forge: Any, **changes: Any) -> Path:
    return strange(forge, policy_kwargs=forge.opaque("<class 'dict'>", **changes))


UNKNOWN: dict[str, tuple[Callable[[Any], Path], str]] = {
    "class of their own": (
        lambda f: strange(f, policy_class=f.opaque("<class 'abc.ABCMeta'>", __module__="__main__")),
        "its policy is a class of '__main__'",
    ),
    "recurrent": (
        lambda f: strange(f, policy_class=f.opaque("", __module__="sb3_contrib.common.recurrent.policies")),
        "not of SAC, TQC",
    ),
    "activation": (
        lambda f: kwargs(f, activation_fn="<class '__main__.Sine'>"),
        "activation function is \"<class '__main__.Sine'>\"",
    ),
    "extractor by name": (
        lambda f: kwargs(f, features_extractor_class="<class 'stable_baselines3.common.torch_layers.NatureCNN'>"),
        "features extractor",
    ),
    "cnn": (
        lambda f: with_tensor(f, torch.ones(4, 3, 8, 8), "actor.features_extractor.cnn.0.weight"),
        "the tensors 'actor.features_extractor.cnn",
    ),
    "unknown argument": (lambda f: kwargs(f, magic=1), "its policy_kwargs have 'magic'"),
    "flag that is text": (lambda f: kwargs(f, use_sde="maybe"), "its use_sde is 'maybe'"),
    "clip that is text": (lambda f: kwargs(f, clip_mean="inf"), "its clip_mean is 'inf'"),
    "frequency that is text": (lambda f: strange(f, sde_sample_freq="4"), "its sde_sample_freq is no number"),
    "gsde without its matrix": (lambda f: strange(f, use_sde=True), "not what its use_sde says"),
    "dropout": (
        lambda f: (f.tensors.update({"actor.mu.5.weight": torch.ones(2, 2)}), f.write())[1],
        "more than linear layers and activations",
    ),
    "batch norm": (
        lambda f: (f.tensors.update({"actor.mu.0.running_mean": torch.ones(8)}), f.write())[1],
        "'actor.mu.0.running_mean' is not known",
    ),
    "no bias": (lambda f: (f.tensors.pop("actor.mu.2.bias"), f.write())[1], "it has no tensor 'actor.mu.2.bias'"),
    "no layers": (lambda f: (f.tensors.clear(), f.write())[1], "no layers that give actions"),
}


@pytest.mark.parametrize(("make", "message"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_cannot_be_known_is_said_and_how_to_trust(forge: Any, make: Callable[[Any], Path], message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_controller(make(forge.of("td3")))
    assert message in str(caught.value)
    assert TRUST in caught.value.hint
    assert 'pip install "awac-tr[sb3]"' in caught.value.hint


@pytest.mark.parametrize(
    ("space", "shown", "message"),
    [
        ("observation_space", {":type:": "<class 'gymnasium.spaces.dict.Dict'>"}, "spaces.dict.Dict"),
        ("action_space", {":type:": "<class 'gymnasium.spaces.discrete.Discrete'>"}, "spaces.discrete.Discrete"),
        ("observation_space", {":type:": "<class 'gym.spaces.box.Box'>", "shape": [84, 84, 3]}, "has shape"),
    ],
)
def test_images_dictionaries_and_discrete_actions_are_refused(
    forge: Any, space: str, shown: dict[str, Any], message: str
) -> None:
    path = strange(forge.of("ppo"), **{space: shown})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_controller(path)
    assert TRUST not in str(caught.value)  # it would not help


def test_a_checkpoint_of_ours_is_not_taken_for_one_of_theirs(door_checkpoint: Path, tmp_path: Path) -> None:
    door_checkpoint.rename(tmp_path / "door.zip")
    with pytest.raises(CheckpointError, match="it has no part 'data'"):
        load_controller(tmp_path / "door.zip")


def test_collect_and_eval_want_the_environment(forge: Any) -> None:
    path = str(forge.of("td3").write())
    for arguments in (["eval", path], ["collect", "--source", "policy", "--policy", path]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert "does not say which environment it is for" in " ".join(result.stderr.split())


def test_trust_is_only_for_policies() -> None:
    result = CliRunner().invoke(main, ["collect", "--source", "random", TRUST])
    assert (result.exit_code, f"{TRUST} has no effect with --source random" in result.stderr) == (2, True)


def test_a_dataset_says_which_file_it_came_from(swing: Any) -> None:
    path = swing.write()
    arguments = ["--policy", path, "--env", "Pendulum-v1", "--n", "1", "--horizon", "5", "--out", "a.hdf5", "--quiet"]
    result = CliRunner().invoke(main, ["collect", "--source", "policy", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    with open_dataset("a.hdf5") as dataset:
        extra = dataset.meta.extra
        first = dataset.episode(0)
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert (extra["policy_file"], extra["policy_sha256"]) == ("agent.zip", digest)
    assert "policy_trusted" not in extra
    assert (first.actions[0] == load_controller(path).act(first.observations[0])).all()


def test_a_dataset_card_may_name_one(swing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAC_TR_DATA", str(swing.folder))
    card = f"name: swing\nenv: Pendulum-v1\nsource: policy\npolicy: {swing.write()}\nn: 1\nlicence: MIT\n"
    (swing.folder / "swing.yaml").write_text(card, encoding="utf-8")
    result = CliRunner().invoke(main, ["collect", "--card", "swing", "--quiet"])
    assert result.exit_code == 0, result.output
    with open_dataset(swing.folder / "swing.hdf5") as dataset:
        assert (dataset.n_transitions, dataset.meta.extra["policy_file"]) == (200, "agent.zip")


@pytest.mark.parametrize("odd", [[1], {"a": 1}, 3], ids=str)
@pytest.mark.parametrize(
    "place", [("policy_class", "__module__"), ("action_space", ":type:"), ("policy_kwargs", "activation_fn")]
)
def test_a_setting_that_is_no_text(forge: Any, place: tuple[str, str], odd: Any) -> None:
    forge.of("sac").data[place[0]][place[1]] = odd
    with pytest.raises(CheckpointError):
        load_controller(forge.write())
