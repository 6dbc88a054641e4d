"""YAML reads some text differently from how it looks: errors and notes say what to write."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.sweepfile import SweepFile, parse_sweep_file

HEAD = """\
program: train.py
metric: {name: loss, goal: minimize}
parameters:
  a: {min: 1, max: 9}
  b: {min: 1, max: 9}
  optimizer: {values: [sgd, adam]}
  switch: {values: ["on", "off"]}
"""
LINE = 8


def read(more: str) -> SweepFile:
    return parse_sweep_file(HEAD + more, Path("space.yaml"))


@pytest.mark.parametrize(
    ("constraints", "piece", "whole"),
    [
        ("[a <= min(b, 8)]", "'a <= min(b'", '"a <= min(b, 8)"'),
        ("[a < 5, max(a, 2, b) < 9, b < 3]", "'max(a'", '"max(a, 2, b) < 9"'),
        ("[a in (1, 2), b > 2]", "'a in (1'", '"a in (1, 2)"'),
        ("[optimizer != 'x, (']", '"optimizer != \'x"', "\"optimizer != 'x, ('\""),
    ],
)
def test_a_constraint_that_is_split_at_a_comma_is_shown_with_its_quotes(
    constraints: str, piece: str, whole: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(f"constraints: {constraints}\n")
    (line,) = str(caught.value).splitlines()
    index = 1 if constraints.startswith("[a < 5") else 0
    assert line.startswith(f"space.yaml:{LINE}: constraints.{index}: {piece} is only a part of an expression")
    assert line.endswith(f"put the whole expression in quotes: {whole}")
    assert read(f"constraints: [{whole}]\n").spec.constraints == (whole[1:-1],)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('constraints: [optimizer in ["sgd"]]', "put text with brackets or quotes"),
        ('constraints:\n  - "sgd" == optimizer', "put the whole text in quotes"),
        ("constraints:\n  - a <= b: 3", "put the expression in quotes"),
        ("constraints: {a <= b}", "put each expression in quotes"),
        ("constraints:\n  - *a <= b", "put text that begins with * or & in quotes"),
        ("constraints:\n  - &a <= b", "'<= b' is not an expression"),
        ("constraints:\n  - !a <= b", "put text that begins with ! in quotes"),
        ("constraints:\n  - % a", "put text that begins with % @ ` > or | in quotes"),
        ("constraints:\n  - > a", "put text that begins with % @ ` > or | in quotes"),
        ("constraints: [optimizer == null]", "there is no parameter 'null'; write None"),
        ("constraints: [yes]", "expected a string, got True; put the expression in quotes"),
        ("command: [python, ${program}]", "${...}"),
        ("stop:\n  trials: 3\n hours: 2", "check the indentation"),
        ("Method: random", "Method: unknown key; a W&B file has method in small letters"),
        ('metrics_from: {regex: "loss (\\d+)"}', "put text with a backslash in single quotes"),
        ("metrics_from: {regex: loss: (.*)}", "put text that contains ': ' in quotes"),
    ],
)
def test_an_error_says_which_text_needs_quotes(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text + "\n")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("space.yaml:")
    assert hint in line


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("x: {value: 1, when: {switch: on}}", "it is one of 'on', 'off'; put on in quotes"),
        ("x: {min: 1,000, max: 2000}", "a comma ends an entry; write numbers without one"),
        ("x: {value: (1, 2)}", "put text with one in quotes"),
        ("x: {min:0.1, max: 2}", "write a space after ':'"),
        ("on: 3", "parameters.True: True cannot name a parameter"),
    ],
)
def test_an_error_about_a_parameter_says_how_yaml_has_read_it(parameter: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(f"  {parameter}\n")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"space.yaml:{LINE}: ")
    assert message in line


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "  x: {values: [yes, maybe]}",
            'parameters.x.values.0: YAML reads yes as true; for the text write "yes"',
        ),
        ("  log: {value: off}", 'parameters.log.value: YAML reads off as false; for the text write "off"'),
        ("  x: {values: [None, 0.1]}", "parameters.x.values.0: None is a string in YAML"),
        ("env: {DEBUG: on}", 'env.DEBUG: YAML reads on as true; for the text write "on"'),
        ("  x: {values: [(0.9, 0.99), (0.8, 0.9)]}", "parameters.x.values: '(0.9' is a separate item"),
        ('command: ["${program}", --betas=(1, 2)]', "command: '--betas=(1' is a separate item"),
    ],
)
def test_a_value_that_is_not_what_it_looks_like_is_noted(text: str, note: str) -> None:
    assert any(found.startswith(note) for found in read(text + "\n").notes)


@pytest.mark.parametrize(
    "text",
    [
        "  x: {min: 1, max: 9, log: yes}",
        "  x: {values: [true, False, null, 'None', 'on', 1e-4, 012, 1:30, 2020-01-01]}",
        "  x: {values: [':)', \"don't\", \"it's\", f(x)]}",
    ],
)
def test_other_values_are_not_noted(text: str) -> None:
    assert read(text + "\n").notes == ()


def test_merged_keys_that_build_on_each_other_are_not_duplicates() -> None:
    file = read(
        "  c: &c {min: 0.0, max: 1.0}\n"
        "  d: &d {<<: *c, max: 2.0}\n"
        "  e: {<<: *d, min: 0.5}\n"
        "  f: {max: 5.0, <<: *d}\n"
        "  g: {<<: [*d, *c]}\n"
        "  h:\n    <<: *c\n    <<: *d\n"
    )
    bounds = {name: (p.min, p.max) for name, p in file.spec.parameters.items() if hasattr(p, "min")}
    assert [bounds[name] for name in "cdefgh"] == [
        (0.0, 1.0),
        (0.0, 2.0),
        (0.5, 2.0),
        (0.0, 5.0),
        (0.0, 2.0),
        (0.0, 2.0),
    ]
    with pytest.raises(InputError, match=r"^space\.yaml:9: .*key 'max' is a duplicate; leave one out$"):
        read("  c: &c {min: 0.0}\n  d: {<<: *c, max: 2.0, max: 3.0}\n")


def test_an_error_in_a_merged_entry_is_located_where_it_counts() -> None:
    with pytest.raises(InputError, match=r"^space\.yaml:9: parameters\.d\.max: max 0\.5 is below min 1\.0"):
        read("  c: &c {min: 1.0, max: 2.0}\n  d: {<<: *c, max: 0.5}\n")


def test_merges_cannot_expand_to_more_than_memory_can_hold() -> None:
    names = "cdefghijklmnopqrstu"
    merges = "".join(
        f"  {name}: &{name} {{<<: [*{above}, *{above}]}}\n" for above, name in itertools.pairwise(names)
    )
    with pytest.raises(InputError, match="more than 100000 entries"):
        read(f"  c: &c {{min: 1, max: 2}}\n{merges}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "config:\n  method: grid\n  parameters: {}\n",
            "s.yaml:1: config: contains a sweep (method, parameters); move",
        ),
        ("a:\n  b:\n    program: x\n    parameters: {}\n", "s.yaml:2: a.b: contains a sweep"),
        ("sweep: &s {metric: 3, parameters: 3}\nproject: p\n", "s.yaml:1: sweep: contains a sweep"),
        ("- method: grid\n  parameters: {}\n", "s.yaml:1: 0: contains a sweep"),
        (
            "a: {method: a, parameters: 3}\nb: {method: a, metric: 3}\n",
            "there are 2 of them: write each to a separate",
        ),
        (
            "program: t.py\nmetric:\n  name: a\n  method: bayes\nparameters: {x: {value: 1}}\n",
            "s.yaml:4: metric.method: belongs to the top level of the file; move it there",
        ),
        (
            "program: t.py\nparameters:\n  x: {distribution: uniform, min: 0, max: 1}\n  method: random\n",
            "s.yaml:4: parameters.method: belongs to the top level of the file; move it there",
        ),
    ],
)
def test_a_sweep_in_the_wrong_place_of_a_file_is_found(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_sweep_file(text, Path("s.yaml"))
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_a_parameter_called_method_is_a_parameter() -> None:
    assert read("  method: adam\n").notes == ()
    assert read("  method: random\n").notes == (
        "parameters.method: is a parameter; W&B's method belongs to the top level of the file",
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my sweep (1).yaml", "my-sweep-1"),
        ("größe.yml", "gr-e"),
        ("-x.yaml", "x"),
        (".hidden.yaml", "hidden"),
        ("実験.yaml", "sweep"),
        ("a" * 120 + ".yaml", "a" * 100),
    ],
)
@pytest.mark.parametrize("method", ["", "method: random\n"])
def test_the_name_of_any_file_becomes_a_valid_name(file: str, name: str, method: str) -> None:
    text = method + "program: t.py\nmetric: {name: a, goal: minimize}\nparameters: {x: {value: 1}}\n"
    found = parse_sweep_file(text, Path("folder", file))
    assert found.spec.name == name
    assert f"name: {name}, from the name of the file" in found.notes


def test_a_name_in_the_file_is_not_noted_as_the_files_name() -> None:
    text = "method: random\nname: my sweep\nprogram: t.py\nmetric: {name: a, goal: minimize}\n"
    found = parse_sweep_file(text + "parameters: {x: {value: 1}}\n", Path("my sweep.yaml"))
    assert found.spec.name == "my-sweep"
    assert not [note for note in found.notes if note.startswith("name: ")]


@pytest.mark.parametrize("file", ["a.b.yaml", "_x-.yaml", "space"])
def test_a_valid_name_of_a_file_is_kept(file: str) -> None:
    found = parse_sweep_file(HEAD, Path(file))
    assert found.spec.name == Path(file).stem
    assert found.notes == ()
