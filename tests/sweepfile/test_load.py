"""Reading sweep files: their meaning, and the messages about mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import InputError
from sweep.sweepfile import SweepSpec, load_spec, parse_sweep_file
from sweep.sweepfile.load import parse_override
from sweep.sweepfile.parameters import Choice, Constant, Range
from sweep.sweepfile.pruners import PercentilePruner

GOOD = """\
objective: train.py:train
metric: {name: val/loss, goal: minimize}
parameters:
  lr: {min: 1e-4, max: 1e-1, log: true}
  layers: {min: 1, max: 5}
  act: {values: [relu, gelu]}
  epochs: 8
"""


def parse(text: str, *changes: str) -> SweepSpec:
    return parse_sweep_file(text, Path("dir/space.yaml"), [parse_override(change) for change in changes]).spec


def test_every_form_of_parameter_is_read_with_its_type() -> None:
    parameters = parse(
        """
        objective: a.py:f
        metric: {name: loss, goal: minimize}
        parameters:
          exponent: {min: 1e-4, max: 1E-1, log: true}
          ints: {min: 1, max: 9, step: 2}
          half: {min: 0, max: 1.0, step: 0.25}
          choice: {values: [1e-3, null, true, word]}
          constant: {value: [1, 2]}
          scalar: 1e-4
          word: adam
          nothing: null
          date: 2026-01-01
          ratio: 16:9
          padded: 010
        """
    ).parameters
    assert parameters["exponent"] == Range(min=1e-4, max=0.1, log=True)
    assert isinstance(parameters["ints"], Range)
    assert parameters["ints"].is_int
    assert isinstance(parameters["half"], Range)
    assert not parameters["half"].is_int
    assert parameters["choice"] == Choice(values=[1e-3, None, True, "word"])
    assert parameters["constant"] == Constant(value=[1, 2])
    assert parameters["scalar"] == Constant(value=1e-4)
    assert parameters["word"] == Constant(value="adam")
    assert parameters["nothing"] == Constant(value=None)
    assert parameters["date"] == Constant(value="2026-01-01")
    assert parameters["ratio"] == Constant(value="16:9")
    assert parameters["padded"] == Constant(value="010")


def test_omitted_keys_have_their_defaults() -> None:
    spec = parse(GOOD + "stop:\n")
    assert spec.name == "space"
    assert spec.sampler.type == "tpe"
    assert spec.pruner.type == "none"
    assert (spec.resources.cpu, spec.resources.gpu) == (1, 0)
    assert spec.stop.trials is None
    assert spec.trial.timeout is None
    assert (spec.trial.retries, spec.trial.backoff) == (2, 0)
    assert spec.trial.retry_on == ("crash", "oom", "lost_node")
    assert spec.trial.keep_checkpoints == 1
    assert spec.repeats is None
    assert spec.run_labels == ("",)


def test_short_forms_equal_the_long_forms() -> None:
    assert parse(GOOD + "sampler: random\npruner: median\n") == parse(
        GOOD + "sampler: {type: random}\npruner: {type: median}\n"
    )
    assert parse(GOOD + "sampler: {seed: 3}\n").sampler.type == "tpe"
    assert parse(GOOD + "repeats: 3\n") == parse(GOOD + "repeats: {seeds: 3, reduce: mean}\n")
    assert parse(GOOD, "repeats=3").repeats == parse(GOOD, "repeats.seeds=3").repeats


def test_a_pruner_accepts_optunas_names_with_and_without_their_prefix() -> None:
    short = parse(GOOD + "pruner: {type: percentile, percentile: 75, warmup_steps: 2, startup_trials: 1}\n")
    long = parse(
        GOOD + "pruner: {type: percentile, percentile: 75, n_warmup_steps: 2, n_startup_trials: 1}\n"
    )
    assert short == long
    assert isinstance(short.pruner, PercentilePruner)
    assert short.pruner.warmup_steps == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse(GOOD + f"trial: {{timeout: {text}}}\n").trial.timeout == seconds


@pytest.mark.parametrize(
    ("stop", "seconds"),
    [
        ("{time: 12h}", 43200),
        ("{time: 90}", 90),
        ("{hours: 12}", 43200),
        ("{hours: 0.5}", 1800),
        ("{}", None),
    ],
)
def test_the_time_of_a_sweep_is_limited_as_a_duration_or_in_hours(stop: str, seconds: float | None) -> None:
    spec = parse(GOOD + f"stop: {stop}\n")
    assert spec.stop.seconds == seconds
    assert parse(spec.to_yaml()) == spec, "the written file has the same form"


def test_options_change_the_file() -> None:
    spec = parse(GOOD, "stop.trials=1e2", "parameters.lr.max=1e-2", "sampler=grid")
    assert spec.stop.trials == 100
    assert isinstance(spec.parameters["lr"], Range)
    assert spec.parameters["lr"].max == 0.01
    assert spec.sampler.type == "grid"
    assert parse(GOOD, "stop.time=90s").stop.seconds == 90


MISTAKES = {
    GOOD + "samplr: tpe\n": "dir/space.yaml:8: samplr: unknown key; did you mean 'sampler'?",
    GOOD + "sampler: tpee\n": "dir/space.yaml:8: sampler.type: unknown type 'tpee'; did you mean 'tpe'?",
    GOOD
    + "sampler:\n  type: baysian\n": "dir/space.yaml:9: sampler.type: unknown type 'baysian'; possible: ",
    GOOD.replace("objective:", "objectve:"): "dir/space.yaml:1: objectve: unknown key; did you mean",
    GOOD.replace("1e-4", "small"): "dir/space.yaml:4: parameters.lr.min: expected a number, got 'small'",
    GOOD.replace("1e-4", "true"): "dir/space.yaml:4: parameters.lr.min: expected a number, got True",
    GOOD.replace("1e-4", ".inf"): "dir/space.yaml:4: parameters.lr.min: expected a finite number, got inf",
    GOOD.replace("1e-1", "1e-5"): "dir/space.yaml:4: parameters.lr.max: max 1e-05 is below min 0.0001; swap",
    GOOD.replace("1e-4", "0"): "dir/space.yaml:4: parameters.lr.min: log needs a min above 0, got 0; use a",
    GOOD.replace("min: 1e-4", "mn: 1e-4"): "dir/space.yaml:4: parameters.lr.mn: unknown key; did you mean",
    GOOD.replace(", log", ", step: 0.1, log"): "dir/space.yaml:4: parameters.lr.step: step cannot be",
    GOOD.replace("max: 5", "max: 5, step: 0.5"): "dir/space.yaml:5: parameters.layers.step: 0.5 is not whole",
    GOOD.replace("max: 5", "max: 5, step: 9"): "dir/space.yaml:5: parameters.layers.step: 9 is larger than",
    GOOD.replace("max: 5", "max: 5, step: 0"): "dir/space.yaml:5: parameters.layers.step: must be greater",
    GOOD.replace(
        "[relu, gelu]", "[]"
    ): "dir/space.yaml:6: parameters.act.values: is empty; give at least one",
    GOOD.replace("[relu, gelu]", "relu"): "dir/space.yaml:6: parameters.act.values: expected a list such as",
    GOOD.replace("gelu", "relu"): "dir/space.yaml:6: parameters.act.values: 'relu' is a duplicate",
    GOOD.replace("[relu, gelu]", "[1, true]"): "dir/space.yaml:6: parameters.act.values: True is a duplicate",
    GOOD.replace("gelu", "[.inf]"): "dir/space.yaml:6: parameters.act.values.1: inf cannot be used; give",
    GOOD.replace(
        "[relu, gelu]", "[a], min: 1"
    ): "dir/space.yaml:6: parameters.act.min: 'min' cannot be combined with",
    GOOD.replace(
        "epochs: 8", "epochs: [9, 8]"
    ): "dir/space.yaml:7: parameters.epochs: is a list; write {values",
    GOOD.replace("epochs: 8", "epochs: {}"): "dir/space.yaml:7: parameters.epochs: is empty; give {min, max}",
    GOOD.replace("epochs: 8", "8: 8"): "dir/space.yaml:7: parameters.8: 8 cannot name a parameter",
    GOOD.replace("minimize", "min"): "dir/space.yaml:2: metric.goal: 'min' is not valid; did you mean",
    GOOD.replace("val/loss,", "'val/loss ',"): "dir/space.yaml:2: metric.name: 'val/loss ' begins or",
    GOOD.replace(
        "{name: val/loss, goal: minimize}", "loss"
    ): "dir/space.yaml:2: metric: has no goal; write {",
    GOOD.replace(
        "metric: {name: val/loss, goal: minimize}\n", ""
    ): "dir/space.yaml:1: metric: is missing; write",
    GOOD + "pruner: {type: percentile}\n": "dir/space.yaml:8: pruner.percentile: is missing",
    GOOD
    + "pruner: {type: percentile, percentile: 101}\n": "dir/space.yaml:8: pruner.percentile: must be at most",
    GOOD + "pruner: {type: percentile, percentile: abc}\n": "dir/space.yaml:8: pruner.percentile: expected a",
    GOOD
    + "pruner: {type: median, warmup_steps: 1, n_warmup_steps: 2}\n": "dir/space.yaml:8: pruner.n_warmup",
    GOOD.replace(
        "1e-4", "1" + "0" * 400
    ): "dir/space.yaml:4: parameters.lr.min: expected a smaller number, got 1",
    GOOD.replace("epochs: 8", "epochs: 1" + "0" * 400): "dir/space.yaml:7: parameters.epochs: 1000",
    GOOD.replace(
        "epochs: 8", "epochs: {value: {1: a}}"
    ): "dir/space.yaml:7: parameters.epochs.value: key 1 must be",
    GOOD.replace(
        "epochs: 8", "epochs: !!int abc"
    ): "dir/space.yaml:7: invalid YAML: a value does not fit its tag",
    GOOD.replace("epochs: 8", 'epochs: "\\ud800"'): "dir/space.yaml:7: invalid YAML: '\\ud800' is",
    GOOD + 'cwd: "a\\0b"\n': "dir/space.yaml:8: cwd: 'a\\x00b' cannot be a directory",
    GOOD + '"\\ud800": 1\n': "dir/space.yaml:8: invalid YAML: '\\ud800' is half a character",
    "[" * 3000: "dir/space.yaml:1: invalid YAML: is nested too deeply",
    "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 10)}]\n" for n in range(8)
    ): "dir/space.yaml:1: invalid",
    GOOD
    + "pruner: {warmup_steps: 1}\n": "dir/space.yaml:8: pruner: 'type' is missing; possible: none, median",
    GOOD
    + "pruner: {type: asha, reduction_factor: 1}\n": "dir/space.yaml:8: pruner.reduction_factor: must be",
    GOOD + "resources: {gpu: 1.5}\n": "dir/space.yaml:8: resources.gpu: 1.5 is neither a share of one GPU",
    GOOD + "resources: {cpu: -1}\n": "dir/space.yaml:8: resources.cpu: must be at least 0, got -1",
    GOOD + "resources: 4\n": "dir/space.yaml:8: resources: expected a mapping such as {cpu: 2, gpu: 1}, got",
    GOOD + "max_parallel: 2.5\n": "dir/space.yaml:8: max_parallel: expected a whole number, got 2.5",
    GOOD + "stop:\n  trials: 0\n": "dir/space.yaml:9: stop.trials: must be greater than 0, got 0",
    GOOD
    + "trial: {timeout: soon}\n": "dir/space.yaml:8: trial.timeout: expected a duration such as 90s, 30m",
    GOOD + "name: a/b\n": "dir/space.yaml:8: name: 'a/b' cannot name a sweep; use at most 100 letters",
    GOOD + "metric: {}\n": "dir/space.yaml:8: invalid YAML: key 'metric' is a duplicate of the one in line 2",
    GOOD + "stop: *there\n": "dir/space.yaml:8: invalid YAML: found undefined alias 'there'",
    GOOD + "repeats: 0\n": "dir/space.yaml:8: repeats: must be greater than 0, got 0",
    GOOD + "repeats: 2.5\n": "dir/space.yaml:8: repeats: expected a whole number, got",
    GOOD + "repeats: three\n": "dir/space.yaml:8: repeats: expected a whole number, got",
    GOOD
    + "repeats: [1, 2]\n": "dir/space.yaml:8: repeats: expected how often each trial is run, got [1, 2]; "
    "write {seeds: [1, 2]}",
    GOOD + "repeats: 20260101\n": "dir/space.yaml:8: repeats: must be at most 1000, got 20260101",
    GOOD + "repeats: {reduce: max}\n": "dir/space.yaml:8: repeats.seeds: is missing; write for example",
    GOOD + "repeats: {seed: 3}\n": "dir/space.yaml:8: repeats.seed: unknown key; did you mean 'seeds'?",
    GOOD + "repeats: {seeds: []}\n": "dir/space.yaml:8: repeats.seeds: is empty; give at least one",
    GOOD
    + "repeats: {seeds: [1, 2, 1]}\n": "dir/space.yaml:8: repeats.seeds: 1 is a duplicate; leave one out",
    GOOD + "repeats: {seeds: [1, -2]}\n": "dir/space.yaml:8: repeats.seeds.1: must be at least 0, got -2",
    GOOD
    + "repeats: {seeds: [4294967296]}\n": "dir/space.yaml:8: repeats.seeds.0: must be less than 4294967296",
    GOOD + "repeats: {seeds: true}\n": "dir/space.yaml:8: repeats.seeds: expected a whole number, got True",
    GOOD
    + "repeats: {seeds: 3, reduce: average}\n": "dir/space.yaml:8: repeats.reduce: 'average' is not valid; "
    "possible: mean, median, min, max",
    "": "dir/space.yaml: is empty; a sweep file needs objective, metric and parameters",
    "# nothing\n": "dir/space.yaml: is empty; a sweep file needs objective, metric and parameters",
    "just words": "dir/space.yaml:1: expected keys such as objective, metric and parameters, got 'just",
    "- 1\n- 2": "dir/space.yaml:1: expected keys such as objective, metric and parameters, got [1, 2]",
    "a: [1": "dir/space.yaml:1: invalid YAML: expected ',' or ']', but got '<stream end>'",
    "a:\n\t- 1": "dir/space.yaml:2: invalid YAML: found character '\\t' that cannot start any token",
    "&a [*a]": "dir/space.yaml:1: invalid YAML: an alias contains itself",
    "a: 1\n---\nb: 2\n": "dir/space.yaml:2: invalid YAML: but found another document",
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_line_with_its_place_and_what_to_write(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(MISTAKES[text])


def test_several_mistakes_are_a_line_each() -> None:
    with pytest.raises(InputError) as caught:
        parse(GOOD + "resources: {gpu: x}\nstop: {trial: 3}\n")
    assert str(caught.value).splitlines() == [
        "dir/space.yaml:8: resources.gpu: expected a number, got 'x'",
        "dir/space.yaml:9: stop.trial: unknown key; did you mean 'trials'?",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stop.trials=many", "--set stop.trials=many: stop.trials: expected a whole number, got 'many'"),
        ("stop.trial=3", "--set stop.trial=3: stop.trial: unknown key; did you mean 'trials'?"),
        ("stp.trials=3", "--set stp.trials=3: stp: unknown key; did you mean 'stop'?"),
        ("stop.trials", "--set stop.trials: expected key=value, for example --set stop.trials=20"),
        ("stop..x=1", "--set stop..x=1: expected key=value"),
        ("stop.trials=[1", "--set stop.trials=[1: the value is not YAML"),
        ("objective.file=3", "--set objective.file=3: objective is 'train.py:train' and has no keys"),
    ],
)
def test_a_mistake_in_an_option_names_the_option(change: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(GOOD, change)
    assert str(caught.value).startswith(message)


def test_an_unreadable_file_is_named_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(GOOD)
    with pytest.raises(InputError, match=r"spce.yaml: there is no such file; did you mean .*/space.yaml\?"):
        load_spec(tmp_path / "spce.yaml")
    with pytest.raises(InputError, match=r"is a directory; give a sweep file \(for example .*/space.yaml\)"):
        load_spec(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text file"):
        load_spec(tmp_path / "bytes.yaml")


LOOKS_LIKE_SOMETHING_ELSE = [
    "1e-4",
    "1E5",
    "16:9",
    "010",
    "0x1f",
    "1_0",
    ".5",
    "1.",
    "on",
    "~",
    "null",
    ".inf",
    "2026-01-01",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e100, 1e100)
    | st.text(max_size=8)
    | st.sampled_from(LOOKS_LIKE_SOMETHING_ELSE)
)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, object]:
    number = st.integers(1, 10**6) if draw(st.booleans()) else st.floats(1e-8, 1e8)
    low, high = sorted([draw(number), draw(number)])
    return {"min": low, "max": high, "log": draw(st.booleans())}


choices = st.lists(scalars, min_size=1, max_size=5, unique_by=lambda v: (v == v, v)).map(
    lambda values: {"values": values}
)
names = st.text("abcxyz_/.-", min_size=1, max_size=8)


@given(st.dictionaries(names, ranges() | choices | scalars, min_size=1, max_size=6))
def test_writing_and_reading_a_spec_gives_the_same_one(parameters: dict[str, object]) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "x",
            "objective": "a.py:f",
            "metric": {"name": "m", "goal": "maximize"},
            "parameters": parameters,
            "trial": {"timeout": "90m"},
        }
    )
    again = parse(spec.to_yaml())
    assert again == spec
    assert again.to_yaml() == spec.to_yaml()


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_arbitrary_text_raises_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_a_parameter_whose_name_has_dots_can_be_changed() -> None:
    text = GOOD.replace("parameters:", "parameters:\n  optim.lr: {min: 0.1, max: 0.5}", 1)
    spec = parse(text, "parameters.optim.lr.max=0.3")
    assert spec.parameters["optim.lr"].model_dump()["max"] == 0.3


@pytest.mark.parametrize("key", ["stop", "sampler", "trial", "resources", "pruner"])
def test_null_is_the_default_as_an_option_too(key: str) -> None:
    assert parse(GOOD, f"{key}=null") == parse(f"{GOOD}\n{key}:\n")


def test_a_number_that_is_empty_is_an_error_with_its_line() -> None:
    with pytest.raises(InputError, match=r"space.yaml:.*a value does not fit its tag"):
        parse(GOOD + "\nmax_parallel: !!int ''\n")


def test_a_whole_step_of_whole_numbers_can_have_a_decimal_point() -> None:
    layers = parse(GOOD.replace("max: 5", "max: 5, step: 2.0")).parameters["layers"]
    assert isinstance(layers, Range)
    assert repr(layers.step) == "2"
