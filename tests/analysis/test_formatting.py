"""Texts for display: a terminal shows what a user has written, and carries out none of it."""

from __future__ import annotations

import json
import math

import pytest

from sweep.analysis.formatting import distinct, escaped, parameter, parameters, printable, span

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp\rover\x00"


@pytest.mark.parametrize("text", ["plain", "  indented", "a/b c", "語 é 👩\u200d👧", "<b> 'x' \"y\""])
def test_a_text_without_control_characters_stays_as_it_is(text: str) -> None:
    assert printable(text) == escaped(text) == text


def test_line_breaks_and_tabs_become_blanks() -> None:
    assert printable("a\nb\tc \r\n\n d\u2028e") == "a b c d e"
    assert escaped("a\nb") == "a\nb"


def test_control_characters_become_escapes() -> None:
    assert printable(HOSTILE) == r"\u001b]0;title\u0007\u001b[2J\u009b31m\u202egnp over\u0000"
    assert printable(printable(HOSTILE)).isprintable()
    assert parameters({"a\x1bb": HOSTILE, "x": 0.5}).isprintable()


def test_escapes_keep_json_equal() -> None:
    content = json.dumps({HOSTILE: "a\nb"}, ensure_ascii=False, indent=2)
    assert json.loads(escaped(content)) == {HOSTILE: "a\nb"}
    assert "\x9b" not in escaped(content)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0431, 0.1234, "0.043 to 0.123"),
        (1e9 + 0.0002, 1e9 + 0.0048, "1000000000.0002 to 1000000000.0048"),
        (123456.7, 123457.9, "123456.7 to 123457.9"),
        (1e9 + 100, 1e9 + 300, "1.0000001e+09 to 1.0000003e+09"),
        (math.nan, math.inf, "nan to inf"),
        (-7.39405912e99, 9.34100612e99, "-7.39406e+99 to 9.34101e+99"),
        (1 / 3, 1 / 3, "0.333333 to 0.333333"),
        (4.1e-14, 9.27e-14, "4.1e-14 to 9.3e-14"),
        (5e-324, 2e-323, "4.94066e-324 to 1.97626e-323"),
    ],
)
def test_the_ends_of_an_interval_have_as_many_digits_as_its_width_deserves(
    low: float, high: float, text: str
) -> None:
    assert span(low, high) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99995, "0.99995"),
        (12345.5, "12345.5"),
        (1e-5, "1e-05"),
        (0.5, "0.5"),
        (3.0, "3"),
        (0.12345678901234567, "0.1235"),
        (0.98765432109876543, "0.9877"),
        (1 - 0.00004123456789, "0.999959"),
        (1 + 0.00004123456789, "1.000041"),
        (1 - 1e-16, "0.9999999999999999"),
        (12345.678901234567, "1.235e+04"),
        (1.0, "1"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (None, "None"),
        ([0.99995, True], "[0.99995, True]"),
    ],
)
def test_a_parameter_is_exact_if_it_was_written_and_near_one_it_is_not_rounded_to_it(
    value: object, text: str
) -> None:
    assert parameter(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.9999, 0.99995, 0.99999], ["0.9999", "0.99995", "0.99999"]),
        (["a", "b", 1], ["a", "b", "1"]),
        ([None, "None", True], ["None", "'None'", "True"]),
        ([True, "True"], ["True", "'True'"]),
        ([1, "1"], ["1", "'1'"]),
        (["a b", "a\nb"], ["'a b'", "'a\\nb'"]),
        ([0.12345678901234566, 0.12346678901234567], ["0.12345678901234566", "0.12346678901234567"]),
        ([1, 1.0], ["1", "1"]),
        (["auto", 0.12345678901234566, None, "None"], ["auto", "0.1235", "None", "'None'"]),
        ([[1, 2], [1, 2]], ["[1, 2]", "[1, 2]"]),
    ],
)
def test_different_values_have_different_texts(values: list[object], texts: list[str]) -> None:
    assert distinct(values) == texts
