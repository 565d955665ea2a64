"""The language of --where: what it means, and what it will not do."""

from __future__ import annotations

import numpy as np
import pytest

from awac_tr.data.ops.where import evaluate_where
from awac_tr.errors import DatasetError

COLUMNS = {
    "episode": np.arange(4),
    "return": np.array([-200.0, -150.0, -30.5, 0.0]),
    "success_any": np.array([0.0, 0.0, 1.0, 1.0]),
    "seed": np.array([7, 8, 9, -1]),
    "terminal": np.array([False, True, False, True]),
    "source": np.array(["door-bc", "door-bc", "the return", "x"]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return > -150", [2, 3]),
        ("return >= -150 and not success_any", [1]),
        ("-200 < return < 0", [1, 2]),
        ("success_any", [2, 3]),
        ("not terminal or episode == 1", [0, 1, 2]),
        ("seed in (7, 9)", [0, 2]),
        ("seed not in [7, 9]", [1, 3]),
        ("seed in ()", []),
        ("source == 'the return'", [2]),
        ('source in ("x", "door-bc") and episode', [1, 3]),
        ("episode % 2 == 1", [1, 3]),
        ("return / episode < -100", [0, 1]),
        ("(return + 200) * 2 <= 100 - -0", [0, 1]),
        ("True", [0, 1, 2, 3]),
        ("0", []),
        (" 1 < 2 ", [0, 1, 2, 3]),
        ("success_any == (return > -100)", [0, 1, 2, 3]),
    ],
)
def test_what_is_true_is_chosen(text: str, expected: list[int]) -> None:
    found = evaluate_where(text, COLUMNS)
    assert (found.dtype, found.shape) == (np.dtype(bool), (4,))
    assert np.flatnonzero(found).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no expression"),
        ("return >", "is no expression"),
        ("return = 3", "is no expression"),
        ("retrun > 3", "no column 'retrun'; did you mean 'return'\\? There are: episode, return"),
        ("__import__('os').system('true')", "is not understood"),
        ("return.real", "is not understood"),
        ("seed[0]", "is not understood"),
        ("abs(return) > 3", "is not understood"),
        ("(lambda: 1)()", "is not understood"),
        ("[x for x in (1, 2)]", "is not understood"),
        ("seed is 3", "write =="),
        ("seed in 3", "'in' wants a list"),
        ("source > 3", "text and numbers cannot be compared"),
        ("source", "is text, not a condition"),
        ("source + source == 'a'", "cannot be reckoned with"),
        ("seed == None", "is not understood"),
        ("seed == 1j", "is not understood"),
        ("2 ** 9999999", "is not understood"),
        ("-" * 1500 + "1", "cannot be understood|is no expression"),
        ("seed == 1" + "0" * 500, "cannot be understood"),
        ("seed" + " + 1" * 1000, "2,000 are the limit"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        evaluate_where(text, COLUMNS)
    assert "return_" not in str(caught.value)
