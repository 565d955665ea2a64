"""Blocks of any size make the same file as episodes do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.storage.hdf5_write import Columns
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError


@pytest.mark.parametrize("block", [1, 3, 600, 1024, 1500, 5000])
def test_blocks_of_any_size_make_the_file_that_episodes_make(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any, block: int
) -> None:
    episodes = [make_episode(seed, steps) for seed, steps in enumerate((700, 1, 2500, 324))]
    digest = write_dataset(tmp_path / "a.hdf5", episodes)
    with open_dataset(tmp_path / "a.hdf5") as one, DatasetWriter(tmp_path / "b.hdf5", make_meta()) as writer:
        names = {kind: [n for n in one.array_names if n.startswith("episodes/") == kind] for kind in (True, False)}
        for start in range(0, one.n_transitions, block):
            writer.extend({name: one.rows(name, start, start + block) for name in names[False]})
        for index in range(one.n_episodes):
            writer.extend({name: one.rows(name, index, index + 1) for name in names[True]})
        assert writer.finish() == digest
    assert not [finding for finding in validate(tmp_path / "b.hdf5") if finding.severity != "note"]
    assert (tmp_path / "a.hdf5").stat().st_size == (tmp_path / "b.hdf5").stat().st_size


def rows_of(episode: Any, **changed: Any) -> dict[str, Any]:
    rows = {name: getattr(episode, name) for name in ARRAYS} | {"infos/success": episode.infos["success"]}
    return rows | changed


def test_blocks_are_held_to_the_same_rules(tmp_path: Path, make_episode: Any, make_meta: Any) -> None:
    one = make_episode(0)
    path = tmp_path / "a.hdf5"
    with DatasetWriter(path, make_meta()) as writer:
        writer.extend(rows_of(one, timeouts=np.zeros(5, bool)))
        with pytest.raises(DatasetError, match=r"cannot be written: .*not the observation of the row after"):
            writer.extend(rows_of(make_episode(1)))
    with DatasetWriter(path, make_meta()) as writer:
        writer.extend(rows_of(one, timeouts=np.zeros(5, bool)))
        writer.extend({"episodes/seeds": np.zeros(1, "<i8")})
        with pytest.raises(DatasetError, match="no episode"):
            writer.finish()
    with DatasetWriter(path, make_meta()) as writer:
        writer.extend(rows_of(one))
        writer.extend(rows_of(make_episode(1), timeouts=np.zeros(5, bool)))
        writer.extend({"episodes/seeds": np.zeros(1, "<i8")})
        with pytest.raises(DatasetError, match="has no end"):
            writer.finish()
    with DatasetWriter(path, make_meta()) as writer:
        writer.extend(rows_of(one))
        without = rows_of(make_episode(1))
        del without["infos/success"]
        writer.extend(without)
        writer.extend({"episodes/seeds": np.zeros(1, "<i8")})
        message = "infos/success has 5 rows, not 10; episodes/seeds has 1 rows, not 2"
        with pytest.raises(DatasetError, match=message):
            writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_wide_rows_have_chunks_of_a_few(tmp_path: Path) -> None:
    import h5py

    pictures = np.arange(7 * 300 * 301, dtype=np.int32).reshape(7, 300, 301)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        columns = Columns(file)
        for part in (pictures[:1], pictures[1:6], pictures[6:]):
            columns.append({"infos/picture": part})
        assert columns.rows() == {"infos/picture": 7}
        columns.finish()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["infos/picture"].chunks == (1, 300, 301)
        np.testing.assert_array_equal(file["infos/picture"][:], pictures)


def test_rows_of_another_byte_order_are_stored_little_endian(tmp_path: Path) -> None:
    import h5py

    rows = np.arange(3000, dtype=">f8")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        columns = Columns(file)
        columns.append({"infos/x": rows[::2]})
        columns.append({"infos/x": rows[1::2]})
        columns.finish()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["infos/x"].dtype.str == "<f8"
        np.testing.assert_array_equal(file["infos/x"][:], np.concatenate([rows[::2], rows[1::2]]))
