"""The page holds everything itself, says what is there, and lets no stranger's words act."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from matplotlib import image

from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.report.build import write_report
from awac_tr.data.report.html import element, joined
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode
from awac_tr.errors import DatasetError

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "nav", "a", "h1", "h2", "h3", "p", "div", "span", "b",
    "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "picture", "source", "img", "details", "summary",
    "footer",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "scope", "title", "media", "srcset",
    "src", "alt",
}  # fmt: skip
VOID = {"meta", "img", "source"}
HOSTILE = "</style></title>\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;&#0;\x1b[31m\u202e${{7*7}}"


class Page(HTMLParser):
    """Every element and every attribute of a page, and its text; fails where elements are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self._open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data + " "

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.attributes if found == name]

    def is_harmless(self) -> None:
        """Only elements and attributes of ours; links within the page, pictures within the page."""
        assert set(self.tags) <= TAGS
        assert {name for name, _ in self.attributes} <= ATTRIBUTES
        assert all(value.startswith("#") for value in self.values("href"))
        for value in self.values("src") + self.values("srcset"):
            assert value.startswith("data:image/png;base64,")
        assert "url(" not in self.source
        assert "@import" not in self.source
        assert "default-src 'none'" in self.values("content")[0]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def make(name: str, *, seed: int = 0, width: int = 4, **about: Any) -> Path:
        rng, path = np.random.default_rng(seed), tmp_path / f"{name}.hdf5"
        plain: dict[str, Any] = {"env_id": "", "source": "random", "action_low": [-1, -1], "action_high": [1, 1]}
        with DatasetWriter(path, DatasetMeta(**plain | about)) as writer:
            for number in range(3):
                states, last = rng.normal(size=(13, width)).astype(np.float32), np.arange(12) == 11
                actions = rng.uniform(-1, 1, (12, 2)).astype(np.float32)
                rewards = last.astype(np.float32) - 1
                info = {"success": last}
                writer.append(Episode(states[:-1], actions, rewards, states[1:], last & False, last, info, number))
            writer.finish()
        return path

    return make


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is slow, and most tests are about what stands around the pictures."""
    drawn = io.BytesIO()
    image.imsave(drawn, np.zeros((2, 2)), format="png")
    monkeypatch.setattr("awac_tr.data.report.build.draw_picture", lambda *_, **__: drawn.getvalue())


@pytest.mark.usefixtures("_quick")
def test_one_dataset(make: Any, tmp_path: Path) -> None:
    path = make("mine", policy="noise", licence="MIT", description="Of a test.", horizon=12)
    page = Page(write_report([path], tmp_path / "pages" / "mine.html"))
    page.is_harmless()
    for words in ("mine", "Of a test.", "noise", "MIT", "36", "100%", "-11", "sha256:", "success_share", "0.08333"):
        assert words in page.text, words
    assert page.tags["h2"] == 0
    assert page.tags["picture"] == page.tags["img"] == page.tags["source"] == 5
    assert not list(tmp_path.rglob("*.part"))


def test_pictures_are_inside_and_come_in_light_and_dark(make: Any, tmp_path: Path) -> None:
    page = Page(write_report([make("mine")], tmp_path / "mine.html"))
    for name, paper in (("src", "#ffffff"), ("srcset", "#14171c")):
        for value in page.values(name):
            picture = image.imread(io.BytesIO(base64.b64decode(value.partition(",")[2])), format="png")
            assert picture.shape[1] == 1440
            assert np.std(picture[..., :3]) > 0.01
            corner = "#" + "".join(f"{round(255 * float(part)):02x}" for part in picture[0, 0, :3])
            assert corner == paper
    assert set(page.values("media")) == {"(prefers-color-scheme: dark)"}
    assert all(page.values("alt"))


@pytest.mark.usefixtures("_quick")
def test_several_side_by_side(make: Any, tmp_path: Path) -> None:
    first = make("first")
    with h5py.File(first) as file:
        parent = Parent("first", str(file.attrs["content_hash"].decode()), "random")
    second = make("second", seed=1, source="bc", parents=(parent,))
    page = Page(write_report([first, second], tmp_path / "a.html", against=first))
    page.is_harmless()
    assert set(page.values("href")) == {"#file-0", "#file-1"} == {f"#{value}" for value in page.values("id")}
    assert page.tags["picture"] == 3 + 1 + 2 * 3
    assert "Side by side" in page.text
    assert re.search(r"second\s+unknown\s+bc\s+3\s+36\s+100%\s+-11\s+sound", page.text)
    assert re.search(r"covers\s+first\s+second\s+first\s+\d+%\s+second\s+\d+%", page.text)
    tree = re.search(r'<ul class="tree">.*?second\.hdf5.*?</ul>', page.source)
    assert tree
    assert "first.hdf5" in tree[0]


@pytest.mark.usefixtures("_quick")
def test_a_hostile_file_can_only_be_read(make: Any, tmp_path: Path) -> None:
    path = make("evil")
    with h5py.File(path, "r+") as file:
        for name in ("policy", "licence", "description", "source", "created", "env_id", "content_hash"):
            file.attrs[name] = HOSTILE.replace("\x00", "")
        file.attrs["parents"] = json.dumps([{"name": HOSTILE, "hash": HOSTILE, "source": HOSTILE}])
        file.attrs["versions"] = json.dumps({HOSTILE: HOSTILE})
        file.attrs["env_kwargs"] = json.dumps({HOSTILE: [HOSTILE]})
        file.attrs["extra"] = json.dumps({"clone": {"file": HOSTILE, "sha256": HOSTILE}, "made_by": {"verb": HOSTILE}})
        file["infos/<script>alert(3)<"] = np.zeros(36)
    odd = path.rename(tmp_path / "\"><script>alert(4)<b onclick='x'>.hdf5")
    for paths in ([odd], [odd, make("other")]):
        page = Page(write_report(paths, tmp_path / "a.html", against=make(f"third{len(paths)}")))
        page.is_harmless()
        assert "<script" not in page.source
        assert "<script>alert(1)</script>" in page.text
        assert not [letter for letter in page.source if not letter.isprintable() and letter != "\n"]


@pytest.mark.usefixtures("_quick")
def test_faults_are_shown(make: Any, tmp_path: Path) -> None:
    path = make("faulty")
    with h5py.File(path, "r+") as file:
        file["actions"][4] = 7
        file["observations"][9, 1] = np.nan
    page = Page(write_report([path], tmp_path / "a.html"))
    for code in ("action-bounds", "not-finite", "hash"):
        assert f"<code>{code}</code>" in page.source
    assert page.tags["picture"] == 5


@pytest.mark.usefixtures("_quick")
def test_a_file_that_cannot_be_loaded_has_a_section_of_its_faults(make: Any, tmp_path: Path) -> None:
    path, sound = make("lacking"), make("sound")
    with h5py.File(path, "r+") as file:
        del file["terminals"]
    page = Page(write_report([path], tmp_path / "a.html"))
    assert "<code>missing-array</code>" in page.source
    assert "cannot be loaded" in page.text
    assert page.tags["picture"] == 0
    page = Page(write_report([path, sound], tmp_path / "a.html"))
    assert "cannot be loaded" in page.text
    assert page.tags["picture"] == 3


@pytest.mark.usefixtures("_quick")
def test_mistakes_write_nothing(make: Any, tmp_path: Path) -> None:
    path = make("mine")
    with pytest.raises(DatasetError, match=r"ends in \.html"):
        write_report([path], tmp_path / "a.pdf")
    with pytest.raises(DatasetError, match="there is no dataset"):
        write_report([path, tmp_path / "none.hdf5"], tmp_path / "a.html")
    with pytest.raises(DatasetError, match="observations of 3 numbers"):
        write_report([path, make("narrow", width=3)], tmp_path / "a.html")
    assert not list(tmp_path.glob("a.*"))


def test_elements_escape_whatever_is_not_an_element() -> None:
    inner = element("b", "<i>", title="\"'<>&")
    assert inner == '<b title="&quot;&#x27;&lt;&gt;&amp;">&lt;i&gt;</b>'
    assert joined(inner, None, "&") == inner + "&amp;"
    assert element("p", inner, inner + "<i>").count("<i>") == 0
