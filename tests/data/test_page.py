"""The page of the format says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import pytest

from awac_tr.data.format.spec import ARRAYS


@pytest.fixture(scope="session")
def page(repository: Path) -> str:
    return (repository / "docs" / "dataset-format.md").read_text(encoding="utf-8")


def test_the_hash_as_the_page_computes_it(page: str, three: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], namespace)  # noqa: S102  (our own page)
    with h5py.File(three) as file:
        assert namespace["content_hash"](three) == file.attrs["content_hash"].decode()


def test_arrays_and_attributes_are_those_of_a_file(
    page: str, tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any
) -> None:
    write_dataset(
        tmp_path / "a.hdf5", [make_episode()], make_meta(horizon=5, seed=1, env_options={"rescale_actions": True})
    )
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_/]+)`", row)}
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert set(file.attrs) | set(ARRAYS) | {"episodes/seeds"} == named
