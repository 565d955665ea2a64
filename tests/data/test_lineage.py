"""The tree of where a dataset comes from: found by hash, said when missing, never endless."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.format.meta import Parent
from awac_tr.data.ops.lineage import Ancestor, lineage
from awac_tr.data.storage.hdf5 import read_attributes

Make = Callable[..., Parent]


@pytest.fixture
def make(tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any) -> Make:
    """Writes a dataset of other rows each time, and gives it as a parent."""
    count = iter(range(1000))

    def make(name: str, **about: Any) -> Parent:
        meta = make_meta(**about)
        digest = write_dataset(tmp_path / f"{name}.hdf5", [make_episode(next(count))], meta)
        return Parent(name, digest, meta.source)

    return make


def sketch(node: Ancestor) -> Any:
    """Nested (name, state)."""
    return (node.name, node.state, *[sketch(parent) for parent in node.parents])


def test_from_a_clone_to_the_import(tmp_path: Path, make: Make) -> None:
    demos = make(
        "demos", source="import", policy="a person", extra={"imported_from": "d.pickle", "format": "hand_dapg"}
    )
    (tmp_path / "mine.clone.pt").write_bytes(b"weights")
    digest = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    made = {"file": "mine.clone.pt", "sha256": digest, "updates": 3500}
    make("mine", source="bc", policy="clone of demos", parents=(demos,), extra={"clone": made})
    tree = lineage(tmp_path / "mine.hdf5")
    assert sketch(tree) == (
        "mine.hdf5",
        "this",
        ("mine.clone.pt", "found", ("demos.hdf5", "found", ("d.pickle", "noted"))),
    )
    nodes = list(tree.walk())
    assert [node.kind for node in nodes] == ["dataset", "policy", "dataset", "origin"]
    assert nodes[0].detail == "1 episodes, 5 transitions, bc"
    assert nodes[1].detail == "clone of demos, 3,500 updates"
    assert nodes[2].hash == demos.hash
    assert nodes[3].detail == "hand_dapg file, a person"

    (tmp_path / "mine.clone.pt").write_bytes(b"others")
    assert lineage(tmp_path / "mine.hdf5").parents[0].state == "changed"
    (tmp_path / "mine.clone.pt").unlink()
    assert lineage(tmp_path / "mine.hdf5").parents[0].state == "missing"


def test_a_renamed_parent_is_found_and_a_replaced_one_is_not(tmp_path: Path, make: Make) -> None:
    parent = make("parent")
    make("child", parents=(parent,))
    (tmp_path / "parent.hdf5").rename(tmp_path / "renamed.hdf5")
    assert sketch(lineage(tmp_path / "child.hdf5")) == (
        "child.hdf5", "this", ("renamed.hdf5", "found", ("uniform actions", "noted"))
    )  # fmt: skip
    (tmp_path / "renamed.hdf5").unlink()
    assert sketch(lineage(tmp_path / "child.hdf5")) == ("child.hdf5", "this", ("parent", "missing"))
    make("parent")
    assert sketch(lineage(tmp_path / "child.hdf5")) == ("child.hdf5", "this", ("parent", "changed"))


def test_a_packaged_demonstrator_is_not_missed(tmp_path: Path, make: Make) -> None:
    make("demos", source="demos", policy="packaged demonstrator door.pt", extra={"policy_file": "door.pt"})
    assert sketch(lineage(tmp_path / "demos.hdf5")) == ("demos.hdf5", "this", ("door.pt", "noted"))
    make("rolled", source="policy", policy="expert.npz", extra={"policy_file": "../../etc/expert.npz"})
    assert lineage(tmp_path / "rolled.hdf5").parents[0].state == "missing"


def test_several_parents_and_a_common_one(tmp_path: Path, make: Make) -> None:
    root = make("root", policy="noise")
    left, right = make("left", parents=(root,)), make("right", parents=(root,))
    make("merged", parents=(left, right))
    assert sketch(lineage(tmp_path / "merged.hdf5")) == (
        "merged.hdf5",
        "this",
        ("left.hdf5", "found", ("root.hdf5", "found", ("noise", "noted"))),
        ("right.hdf5", "found", ("root.hdf5", "seen")),
    )


@pytest.mark.parametrize("deed", [{"made_by": {"verb": "filter"}}, {"mended": ["a row"]}])
def test_a_part_or_a_mended_copy_does_not_claim_its_parents_policy(tmp_path: Path, make: Make, deed: Any) -> None:
    whole = make("whole", source="bc", extra={"clone": {"file": "w.pt"}})
    make("part", source="bc", parents=(whole,), extra={"clone": {"file": "w.pt"}} | deed)
    tree = lineage(tmp_path / "part.hdf5")
    assert sketch(tree) == ("part.hdf5", "this", ("whole.hdf5", "found", ("w.pt", "missing")))
    assert tree.detail.endswith(("bc, filter", "bc, mended"))


def test_broken_files_beside_it_are_passed_over(tmp_path: Path, make: Make) -> None:
    parent = make("parent")
    make("child", parents=(parent,))
    (tmp_path / "a.hdf5").write_text("no")
    (tmp_path / "b.hdf5").symlink_to(tmp_path / "gone")
    for name, value in (("c", 3), ("d", "sha256:of variable length"), ("e", np.zeros(3))):
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file.attrs["content_hash"] = value
    assert lineage(tmp_path / "child.hdf5").parents[0].state == "found"


def test_of_its_neighbours_only_text_of_fixed_length_is_read(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over damaged text of variable length the HDF5 library can run in circles."""
    parent = make("parent")
    make("child", parents=(parent,))
    make("stranger")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["content_hash"] = parent.hash
    read: list[str] = []

    def noting(path: Path, file: h5py.File) -> dict[str, Any]:
        read.append(path.name)
        return read_attributes(path, file)

    monkeypatch.setattr("awac_tr.data.ops.lineage.read_attributes", noting)
    assert lineage(tmp_path / "child.hdf5").parents[0].name == "parent.hdf5"
    assert read == ["child.hdf5", "parent.hdf5"]


def test_a_file_of_others(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
    tree = lineage(three)
    assert (tree.detail, tree.parents[0].kind) == ("not written by awac-tr", "origin")


def test_lies_end(tmp_path: Path, make: Make) -> None:
    """A file that is its own parent, and a hundred thousand parents that nobody has."""
    me = make("liar")
    noted = [vars(me), {"name": {"a": 1}, "hash": ["x"]}, *({"name": f"p{n}", "hash": str(n)} for n in range(100_000))]
    with h5py.File(tmp_path / "liar.hdf5", "r+") as file:
        file.attrs["parents"] = json.dumps(noted[:300])
    tree = lineage(tmp_path / "liar.hdf5")
    assert tree.parents[0].state == "seen"
    assert "itself" in tree.parents[0].detail
    assert tree.parents[1].state == "missing"
    assert tree.parents[-1].name == "and 268 more"
    assert len(list(tree.walk())) == 34


def test_a_long_line_is_followed_so_far(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_tr.data.ops.lineage._MAX_DEPTH", 4)
    parent = make("0")
    for number in range(1, 8):
        parent = make(str(number), parents=(parent,))
    nodes = list(lineage(tmp_path / "7.hdf5").walk())
    assert [node.name for node in nodes] == ["7.hdf5", "6.hdf5", "5.hdf5", "4.hdf5", "3"]
    assert "not followed" in nodes[-1].detail
