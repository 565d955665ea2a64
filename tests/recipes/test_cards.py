from __future__ import annotations

from pathlib import Path

import pytest

from awac_tr.errors import RecipeError
from awac_tr.recipes.cards import CloneSettings, ImportOptions, NoOptions, OUOptions, load_card, read_card

GOOD = "name: mine\nenv: door-binary-v0\nlicence: MIT\n"
"""Three lines; what a case adds begins on line 4."""

CASES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "unknown source": (
        "source: dmos\nn: 3",
        ("source", "line 4", "expected demos, bc, ou, random, policy or import, got 'dmos'; did you mean 'demos'?"),
    ),
    "unknown key": ("source: demos\nn: 3\nsed: 1", ("sed", "line 6", "unknown key; did you mean 'seed'?")),
    "no number of episodes": ("source: demos", ("n", "", "missing; expected the number of episodes")),
    "no episodes": (
        "source: demos\nn: 0",
        ("n", "line 5", "expected a whole number of at least 1 or null, got 0"),
    ),
    "clone of nothing": ("source: bc\nn: 3", ("parent", "", "missing; source bc needs it")),
    "clone of itself": (
        "source: bc\nn: 3\nparent: mine",
        ("parent", "line 6", "a dataset cannot be its own parent"),
    ),
    "parent of no use": (
        "source: random\nn: 3\nparent: door-demos",
        ("parent", "line 6", "has no effect with source random; only bc uses it"),
    ),
    "no policy file": ("source: policy\nn: 3", ("policy", "", "missing; source policy needs it")),
    "import of no format": ("source: import", ("options.format", "", "missing; expected hand_dapg")),
    "format unknown": (
        "source: import\noptions:\n  format: hand_dapq",
        ("options.format", "line 6", "expected hand_dapg, got 'hand_dapq'; did you mean 'hand_dapg'?"),
    ),
    "option of another source": (
        "source: ou\nn: 3\noptions:\n  thta: 0.1",
        ("options.thta", "line 7", "unknown key; did you mean 'theta'?"),
    ),
    "option deep inside": (
        "source: bc\nn: 3\nparent: door-demos\noptions:\n  bc:\n    patience: 0",
        ("options.bc.patience", "line 9", "expected a whole number of at least 1, got 0"),
    ),
    "duplicate key": ("source: demos\nn: 3\nn: 4", ("n", "line 6", "given twice; first on line 5")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_told(case: str, tmp_path: Path) -> None:
    addition, (key, where, text) = CASES[case]
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + addition + "\n")
    with pytest.raises(RecipeError) as caught:
        read_card(path)
    row = "  ".join(cell for cell in (key, where, text) if cell)
    assert caught.value.message == f"dataset card {path} has 1 problem\n  {row}"


def test_all_mistakes_come_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: other\nsource: ou\nn: few\noptions: {thta: 1}\n")
    with pytest.raises(RecipeError) as caught:
        read_card(path)
    keys = [line.split()[0] for line in caught.value.message.splitlines()[1:]]
    assert keys == ["env", "n", "licence", "options.thta"]


def test_a_card_bears_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(GOOD + "source: demos\nn: 3\n")
    with pytest.raises(RecipeError, match="must be 'other', the name of its file, got 'mine'"):
        read_card(path)


def test_settings_complete_the_options_by_the_defaults_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "source: bc\nn: 3\nparent: door-demos\noptions: {policy: {hidden_sizes: [8]}}\n")
    settings = read_card(path).settings
    assert isinstance(settings, CloneSettings)
    assert settings.policy.hidden_sizes == (8,)
    assert settings.bc.patience == 10
    path.write_text(GOOD + "source: bc\nn: 3\nparent: door-demos\noptions: {policy: {std: dependent}}\n")
    assert read_card(path).settings.policy.hidden_sizes == (256, 256)  # type: ignore[attr-defined]
    path.write_text(GOOD + "source: ou\nn: 3\noptions: {sigma: 1}\n")
    assert read_card(path).settings == OUOptions(theta=0.15, sigma=1.0)
    path.write_text(GOOD + "source: random\nn: 3\n")
    assert read_card(path).settings == NoOptions()
    assert load_card("door-human").settings == ImportOptions(format="hand_dapg")
