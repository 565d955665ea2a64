"""The blind test of the validator, a few injections of it, so that the benchmark cannot rot."""

from __future__ import annotations

from itertools import groupby

import pytest

pytest.importorskip("pyarrow", reason="pyarrow (awac-tr[lerobot]) is absent")

from validation.formats import FORMATS
from validation.inject import DEFECTS
from validation.run import Bench, recall, table

from awac_tr.data.validation.codes import KINDS

BLATANT = ("not-finite", "flags-inverted", "duplicate", "missing-array")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(0, 3, small=True)


def test_every_code_is_injected() -> None:
    assert set(KINDS) <= {one.code for one in DEFECTS}


def test_clean_plays_raise_no_alarm(bench: Bench) -> None:
    alarms = {name: bench.alarms(name)["alarms"] for name in FORMATS}
    # Pendulum's flat file names no environment, so its actions are held to [-1, 1].
    assert {name: one for name, one in alarms.items() if one} == {"d4rl": {"action-bounds": 1}}


def test_blatant_defects_are_caught_in_every_format(bench: Bench) -> None:
    clean = {name: bench.alarms(name) for name in FORMATS}
    trials = []
    for code, defects in groupby(sorted(DEFECTS, key=lambda one: one.code), key=lambda one: one.code):
        them = list(defects)
        if code in BLATANT:
            carrying = {name: [one for one in them if name in one.formats] for name in FORMATS}
            trials += [bench.trial(fitting, name) for name, fitting in carrying.items() if fitting]
    assert recall(trials) == "1.00", trials
    text = table({"clean": clean, "trials": trials})
    assert all(f"`{code}`" in text for code in BLATANT)
