from __future__ import annotations

import math

import pytest
import yaml

from awac_tr.recipes.yaml_text import dump_value, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("3.0e-4", 3e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("1_000_000", 1_000_000),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("0x10", "0x10"),
        ("'3e-4'", "3e-4"),
        ('"true"', "true"),
        ("1_", "1_"),
        ("e5", "e5"),
        ("[1, [a, null], {b: 2}]", [1, ["a", None], {"b": 2}]),
    ],
)
def test_plain_values_mean_what_people_mean(text: str, value: object) -> None:
    parsed = parse_yaml(text)
    assert parsed.problems == []
    assert parsed.data == value
    assert type(parsed.data) is type(value)


def test_infinity_and_nan_are_read_as_such_so_that_the_schema_can_refuse_them() -> None:
    data = parse_yaml("[.inf, -.inf, .nan, 1e999]").data
    assert data[0] == data[3] == math.inf
    assert data[1] == -math.inf
    assert math.isnan(data[2])


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: &x [1]\nb: *x", "line 1", "anchors and aliases are not understood here"),
        ("a: *x", "line 1", "anchors and aliases are not understood here"),
        ("b: 1\na: !!python/object/apply:os.system [ls]", "line 2", "tags are not understood here; write plain values"),
        ("a: !!int 3", "line 1", "tags are not understood here; write plain values"),
        ("a: [1", "line 1", "expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2", "line 2", "but found another document"),
        ("a: \x00", "", "unacceptable character #x0000: special characters are not allowed"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text: str, where: str, message: str) -> None:
    parsed = parse_yaml(text)
    assert parsed.data is None
    (problem,) = parsed.problems
    assert (problem.key, problem.where, problem.text) == ("", where, f"not readable as YAML: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 3000, "nested too deeply"), ("a: " + "9" * 5000, "holds a whole number of thousands of digits")],
)
def test_absurd_documents_are_refused(text: str, message: str) -> None:
    parsed = parse_yaml(text)
    assert [problem.text for problem in parsed.problems] == [message]


def test_duplicate_and_odd_keys_are_told_with_their_lines_and_reading_goes_on() -> None:
    parsed = parse_yaml("a:\n  b: 1\n  b: 2\n1: x\n[c]: y\nd: 3")
    assert parsed.data == {"a": {"b": 1}, "d": 3}
    assert [(p.key, p.where, p.text) for p in parsed.problems] == [
        ("a.b", "line 3", "given twice; first on line 2"),
        ("1", "line 4", "a key must be text; write '1' in quotes"),
        ("", "line 5", "a key must be text"),
    ]
    assert parsed.lines[("d",)] == 6


AWKWARD = [
    "3e-4", "1e5", "off", "yes", "null", "~", "", " x ", "a: b", "# no comment", "1:30", "2020-01-01", "0x10", "'", '"',
    "line\nbreak", "\x7f", "\N{GRINNING FACE}", "é", "-", "!", "&a", "*a", "1_000", "x" * 500,
    0, -3, 2**40, 0.0, 1e-5, 1e300, 0.1 + 0.2, True, None, [], {}, [None, 0.0], {"a b": [1, {"c": "off"}]},
]  # fmt: skip


@pytest.mark.parametrize("value", AWKWARD)
def test_dumped_values_are_one_line_and_read_back_by_us_and_by_yaml_1_1(value: object) -> None:
    text = dump_value(value)
    assert "\n" not in text
    ours = parse_yaml(f"key: {text} # comment")
    assert ours.problems == []
    assert ours.data == {"key": value}
    assert yaml.safe_load(f"key: {text} # comment") == {"key": value}
