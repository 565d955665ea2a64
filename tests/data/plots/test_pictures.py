"""Pictures are real, show what they say, and survive what files hold."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import colors, image
from matplotlib.figure import Figure

from awac_tr.data.plots.episodes import draw_length_panel, draw_success_panel, edges_of, running_mean
from awac_tr.data.plots.plot import PICTURES, draw_picture, plot_datasets, samples_against
from awac_tr.data.plots.rows import project, thinned
from awac_tr.data.plots.sample import take_sample, take_samples
from awac_tr.data.plots.style import DARK, LIGHT, Theme, styled
from awac_tr.errors import DatasetError

Make = Callable[..., Path]


def pixels(picture: bytes | Path) -> np.ndarray:
    """[height, width, 3] in 0 to 1."""
    source: Any = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    found: np.ndarray = image.imread(source, format="png")[..., :3]
    return found


def share_of(picture: np.ndarray, colour: str) -> float:
    return float((np.abs(picture - colors.to_rgb(colour)).max(2) < 0.01).mean())


@pytest.mark.parametrize(
    ("name", "theme"),
    [*((name, LIGHT) for name in (*PICTURES, "coverage")), ("states", DARK), ("actions", DARK)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_picture_is_drawn_in_its_colours(make: Make, name: str, theme: Theme) -> None:
    samples, against = samples_against([make("a"), make("b", offset=1.0)], make("cc", offset=0.5))
    found = pixels(draw_picture(name, samples, theme, against=against, dpi=40))
    height = 3.0 if name == "coverage" else PICTURES[name][1](2)
    assert found.shape == (round(40 * height), 360, 3)
    assert 0.4 < share_of(found, theme.paper) < 0.99
    for number in range(2):
        assert share_of(found, theme.colour(number)) > 1e-4


def test_all_in_one_file(make: Make, tmp_path: Path) -> None:
    first, second = make("a"), make("b", offset=1.0)
    report = plot_datasets([first, second], tmp_path / "new" / "all.png", against=second)
    assert report.datasets == ["a", "b"]
    assert [(row.dataset, row.against, row.states) for row in report.coverage] == [("a", "b", (87, 87))]
    assert 0 <= report.coverage[0].covers <= 1
    found = pixels(report.path)
    assert found.shape[1] == 1350
    assert not list(tmp_path.rglob("*.part"))
    only = plot_datasets([first], tmp_path / "only.png", only=["states"])
    assert pixels(only.path).shape[0] < found.shape[0] / 2
    dark = plot_datasets([first], tmp_path / "dark.png", only=["success"], theme=DARK)
    assert share_of(pixels(dark.path), DARK.paper) > 0.5


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")])
def test_other_formats(make: Make, tmp_path: Path, suffix: str, start: bytes) -> None:
    report = plot_datasets([make()], tmp_path / f"a{suffix}", only=["returns"])
    assert report.path.read_bytes().startswith(start)


def test_the_same_picture_every_time(make: Make) -> None:
    path = make()
    first, second = (draw_picture("states", take_samples([path]), LIGHT, dpi=40) for _ in range(2))
    assert first == second


def test_odd_names(make: Make) -> None:
    paths = [make(name) for name in ("$x^{", "_hidden", "%s{}", "漢字", "a\\frac{b}")]
    samples, against = samples_against(paths, paths[0])
    for picture in ("returns", "actions", "coverage"):
        assert pixels(draw_picture(picture, samples, LIGHT, against=against, dpi=20)).std() > 0.01


def spoil_states(file: h5py.File) -> None:
    file["observations"][...] = np.nan


def spoil_rewards(file: h5py.File) -> None:
    file["rewards"][::3] = np.nan
    file["rewards"][1] = np.inf


def spoil_actions(file: h5py.File) -> None:
    file["actions"][...] = np.inf


def constant_states(file: h5py.File) -> None:
    file["observations"][...] = 1e30


def many_rewards(file: h5py.File) -> None:
    file["rewards"][...] = np.random.default_rng(0).normal(size=87) * 1e6


def no_success(file: h5py.File) -> None:
    del file["infos/success"]


def no_end(file: h5py.File) -> None:
    file["timeouts"][...] = False


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (spoil_states, ("states", "coverage")),
        (constant_states, ("states", "coverage")),
        (spoil_rewards, ("rewards", "returns")),
        (many_rewards, ("rewards", "returns")),
        (spoil_actions, ("actions",)),
        (no_success, ("success",)),
        (no_end, ("returns",)),
    ],
)
def test_what_files_hold_is_survived(make: Make, spoil: Callable[[h5py.File], None], names: tuple[str, ...]) -> None:
    path, other = make(), make("other")
    with h5py.File(path, "r+") as file:
        spoil(file)
    samples, against = samples_against([path, other], other)
    for name in names:
        assert pixels(draw_picture(name, samples, LIGHT, against=against, dpi=20)).std() > 0.01
        if name != "coverage":
            assert pixels(draw_picture(name, samples[:1], DARK, dpi=20)).std() > 0.01


def test_one_row(make: Make) -> None:
    samples = take_samples([make(lengths=(1,), width=1)])
    for name in PICTURES:
        assert pixels(draw_picture(name, samples, LIGHT, dpi=20)).std() > 0.01


def test_mistakes_leave_nothing(make: Make, tmp_path: Path) -> None:
    path = make()
    before = sorted(tmp_path.iterdir())
    for arguments, message in (
        ({"out": "a.gif"}, "cannot draw into a.gif"),
        ({"only": ["state"]}, "did you mean 'states'"),
        ({"against": path}, "compared with itself"),
        ({"against": tmp_path / "none.hdf5"}, "there is no dataset"),
    ):
        with pytest.raises(DatasetError, match=message):
            plot_datasets([path], **{"out": tmp_path / "a.png", **arguments})  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written"):
        plot_datasets([path], tmp_path / "file" / "a.png", only=["success"])
    (tmp_path / "file").unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_global_changes() -> None:
    code = (
        "import sys, matplotlib as mpl; before = dict(mpl.rcParams)\n"
        "from awac_tr.data.plots.plot import draw_picture\n"
        "from awac_tr.data.plots.style import DARK, styled\n"
        "with styled(DARK): pass\n"
        "assert dict(mpl.rcParams) == before and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_histograms_hold_all_episodes(make: Make) -> None:
    sample = take_sample(make(lengths=(5, 5, 5, 8)))
    with styled(LIGHT):
        axis = Figure().subplots()
        draw_length_panel(axis, [sample], LIGHT)
    drawn = axis.patches[0].get_data()  # type: ignore[attr-defined]
    assert drawn.values.tolist() == [0.75, 0, 0, 0.25]
    assert drawn.edges.tolist() == [4.5, 5.5, 6.5, 7.5, 8.5]
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=50), rng.integers(0, 999, 50), np.array([0.3]), np.array([-1e9, -1e9 - 1e-7])):
        edges = edges_of(np.asarray(values, float))
        assert np.histogram(values, edges)[0].sum() == len(values)
        assert len(edges) <= 31


def test_success_marks_and_mean(make: Make) -> None:
    sample = take_sample(make(lengths=(30, 7, 50, 9)))
    axis = Figure().subplots()
    draw_success_panel(axis, [sample], LIGHT)
    line, good, bad, mean = axis.lines
    assert good.get_xdata().tolist() == [0, 2]
    assert bad.get_xdata().tolist() == [1, 3]
    assert mean.get_ydata() == [0.5, 0.5]
    assert line.get_ydata().tolist() == pytest.approx([2 / 3, 0.5, 0.5, 1 / 3])
    values = np.random.default_rng(0).normal(size=20)
    expected = [values[max(0, at - 3) : at + 4].mean() for at in range(20)]
    np.testing.assert_allclose(running_mean(values, 7), expected)


def test_long_episodes_keep_their_rare_rewards() -> None:
    rewards = np.zeros(10_000, np.float32)
    rewards[7777] = 1
    found = thinned(rewards, 600)
    assert (len(found), found.sum(), int(found.argmax())) == (600, 1, 466)


def test_the_map_is_that_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    first = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) * [1, 1, 1, 1, 1e4, 0] + 5).astype(np.float32)
    second = (first[:100] + 3).astype(np.float32)
    found = project([first, second])
    pool = np.concatenate([first[np.linspace(0, 299, 100).astype(int)], second]).astype(np.float64)
    std = pool.std(0)
    std[std == 0] = 1
    values, vectors = np.linalg.eigh(np.cov(((pool - pool.mean(0)) / std).T, bias=True))
    np.testing.assert_allclose(found.explained, values[::-1][:2] / values.sum(), rtol=1e-6)
    for column, vector in enumerate(vectors.T[::-1][:2]):
        expected = (first - pool.mean(0)) / std @ (vector * np.sign(vector[np.abs(vector).argmax()]))
        np.testing.assert_allclose(found.points[0][:, column], expected, rtol=1e-5, atol=1e-6)
    assert found.points[1].shape == (100, 2)


def test_settings_of_matplotlib_are_put_back() -> None:
    before = dict(mpl.rcParams)
    with pytest.raises(KeyError), styled(DARK):
        raise KeyError
    assert dict(mpl.rcParams) == before
