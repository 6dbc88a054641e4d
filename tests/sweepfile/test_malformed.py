"""`sweep check` reports a mistake in a sweep file as one line: its place, and what to write instead."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.cli import main
from tests.commands import call

HEAD = """\
objective: train.py:train
metric: {name: loss, goal: minimize}
"""
BODY = """\
parameters:
  lr: {min: 1e-4, max: 1e-1, log: true}
  n: {min: 1, max: 9, step: 2}
  act: {values: [relu, gelu]}
  flag: {values: [true, false]}
  epochs: 8
"""
GOOD = HEAD + BODY
NEXT = 9
"""The number of the line after `GOOD`."""


def parameter(text: str, top: str = "") -> str:
    """The valid file with one more parameter, and the lines after it."""
    return f"{GOOD}  {text}\n{top}"


def nested(depth: int) -> str:
    return parameter("g: " + "{parameters: {g: " * depth + "1" + "}}" * depth)


DIGITS = "1" + "0" * 5000
HEX = "0x1" + "f" * 5000

# The file, the line in the message, the key, and a part of the hint.
MALFORMED: dict[str, tuple[str, int | None, str, str]] = {
    # YAML
    "a list that is not closed": (GOOD + "stop: [1\n", 10, "", "expected ',' or ']'"),
    "a tab": (GOOD + "stop:\n\ttrials: 3\n", 10, "", "'\\t'"),
    "an unknown tag": (GOOD + "stop: !!python/object:os.system {}\n", 9, "", "constructor"),
    "a value that does not fit its tag": (
        GOOD + "stop: {trials: !!int many}\n",
        9,
        "",
        "does not fit its tag",
    ),
    "a number of thousands of digits": (parameter(f"a: {DIGITS}"), 9, "", "does not fit"),
    "a hexadecimal number of thousands of digits": (
        parameter(f"a: {HEX}"),
        9,
        "parameters.a",
        "a huge number",
    ),
    "a hexadecimal number of repeats": (GOOD + f"repeats: {HEX}\n", 9, "repeats", "a huge number"),
    "a hexadecimal number of trials": (GOOD + f"stop: {{trials: {HEX}}}\n", 9, "stop.trials", "smaller"),
    "brackets that are never closed": ("[" * 3000, 1, "", "nested too deeply"),
    "an alias of itself": (parameter("a: &a {values: [*a]}"), 9, "", "an alias contains itself"),
    "an alias of nothing": (parameter("a: *b"), 9, "", "undefined alias"),
    "two documents": (GOOD + "---\na: 1\n", 9, "", "another document"),
    "a duplicate key": (GOOD + "metric: {}\n", 9, "", "'metric' is a duplicate"),
    "a duplicate parameter": (parameter("lr: 3"), 9, "", "'lr' is a duplicate"),
    "a control character": (GOOD + "stop: \x01\n", None, "", "special characters"),
    "a list": ("- 1\n", 1, "", "expected keys such as objective"),
    "a key that is a list": (GOOD + "? [1, 2]\n: 3\n", 9, "", "unhashable"),
    # unknown keys, at each level
    "an unknown key": (GOOD + "smapler: tpe\n", 9, "smapler", "did you mean 'sampler'?"),
    "a number for a key": (GOOD + "3: tpe\n", 9, "3", "unknown key; possible: name, program"),
    "an unknown key of the metric": (
        HEAD.replace("goal", "gaol") + BODY,
        2,
        "metric.gaol",
        "did you mean 'goal'",
    ),
    "an unknown key of a range": (
        parameter("a: {min: 1, mx: 2}"),
        9,
        "parameters.a.mx",
        "did you mean 'max'",
    ),
    "an unknown key of a choice": (
        parameter("a: {values: [1], p: [1]}"),
        9,
        "parameters.a.p",
        "possible: when",
    ),
    "a group without parameters": (
        parameter("model: {width: {values: [8, 16]}}"),
        9,
        "parameters.model.width",
        "for a group write {parameters: {width: {values: [8, 16]}}}",
    ),
    "an unknown key in a group": (
        parameter("g: {parameters: {a: {mni: 1, max: 2}}}"),
        9,
        "parameters.g.parameters.a.mni",
        "did you mean 'min'",
    ),
    "a group with something else": (
        parameter("g: {parameters: {a: 1}, min: 3}"),
        9,
        "parameters.g.min",
        "cannot be combined with 'parameters'; leave one out",
    ),
    "only an unknown key": (parameter("a: {vales: [1]}"), 9, "parameters.a.vales", "did you mean 'values'"),
    "an unknown key of stop": (GOOD + "stop:\n  trails: 3\n", 10, "stop.trails", "did you mean 'trials'"),
    "an unknown key of trial": (GOOD + "trial: {retry: 3}\n", 9, "trial.retry", "did you mean"),
    "an unknown key of resources": (
        GOOD + "resources: {gpus: 1}\n",
        9,
        "resources.gpus",
        "did you mean 'gpu'",
    ),
    # keys of other tools
    "Optuna's bounds": (
        parameter("a: {low: 0.0, high: 0.1}"),
        9,
        "parameters.a.low",
        "unknown key; write {min: 0.0, max: 0.1}",
    ),
    "Optuna's bounds and a type": (
        parameter("a: {type: float, low: 1, high: 8, log: true}"),
        9,
        "parameters.a.type",
        "unknown key; write {min: 1.0, max: 8.0, log: true}",
    ),
    "a type that is a list": (parameter("a: {type: [float], low: 1}"), 9, "parameters.a.type", "{min: 1}"),
    "a foreign bound": (
        parameter("a: {min: 1, high: 8}"),
        9,
        "parameters.a.high",
        "{min: 1, max: 8}",
    ),
    "the same bound twice": (parameter("a: {min: 1, low: 8}"), 9, "parameters.a.low", "write 'min'"),
    "an infinite bound": (
        parameter("a: {type: int, low: .inf, high: 8}"),
        9,
        "parameters.a.type",
        "write {min: .inf, max: 8}",
    ),
    "Optuna's choices": (
        parameter("a: {choices: [adam, sgd]}"),
        9,
        "parameters.a.choices",
        "unknown key; write {values: [adam, sgd]}",
    ),
    "a number of trials alone": (GOOD + "stop: 20\n", 9, "stop", "a mapping such as {trials: 20}, got 20"),
    "a regular expression alone": (
        GOOD + "metrics_from: 'loss=(.*)'\n",
        9,
        "metrics_from",
        "a mapping such as {regex: 'loss=(?P<loss>\\S+)'}",
    ),
    "a list of variables": (GOOD + "env: [A=1]\n", 9, "env", "a mapping such as {DATA: /data}"),
    "a metric's name as a list": (GOOD + "metrics: loss\n", 9, "metrics", "such as [{name: loss, goal: m"),
    "a percentile pruner without its percentile": (
        GOOD + "pruner: percentile\n",
        9,
        "pruner.percentile",
        "write for example pruner: {type: percentile, percentile: 75}",
    ),
    "another name of the number of trials": (GOOD + "trials: 10\n", 9, "trials", "write stop: {trials: 10}"),
    "Optuna's number of trials": (GOOD + "n_trials: 10\n", 9, "n_trials", "write stop: {trials: 10}"),
    "Optuna's number of trials in stop": (
        GOOD + "stop:\n  n_trials: 10\n",
        10,
        "stop.n_trials",
        "write trials: 10",
    ),
    "Optuna's direction": (
        GOOD + "direction: minimize\n",
        9,
        "direction",
        "write metric: {name: loss, goal: minimize}",
    ),
    "Ray's mode": (GOOD + "mode: max\n", 9, "mode", "write metric: {name: loss, goal: maximize}"),
    "a mode that is a list": (GOOD + "mode: [max]\n", 9, "mode", "goal: [max]}"),
    "a direction of the metric": (
        HEAD.replace("goal", "direction") + BODY,
        2,
        "metric.direction",
        "write goal: minimize",
    ),
    "a mode of the metric": (
        HEAD.replace("goal: ", "mode: ").replace("minimize", "min") + BODY,
        2,
        "metric.mode",
        "write goal: minimize",
    ),
    "Optuna's name of a study that is a goal's": (
        GOOD + "study_name: max\n",
        9,
        "study_name",
        "write name: max",
    ),
    "Optuna's seed": (GOOD + "seed: 3\n", 9, "seed", "write sampler: {seed: 3}"),
    "Optuna's garbage collection": (
        GOOD + "gc_after_trial: true\n",
        9,
        "gc_after_trial",
        "leave it out: trial.isolate gives",
    ),
    "time and hours": (
        GOOD + "stop:\n  time: 12h\n  hours: 12\n",
        10,
        "stop.time",
        "is the same as 'hours'; leave one out",
    ),
    "a time of 0": (GOOD + "stop: {time: 0s}\n", 9, "stop.time", "must be greater than 0"),
    "a time in unknown units": (GOOD + "stop: {time: 3 weeks}\n", 9, "stop.time", "such as 90s, 30m"),
    "Ray's time": (GOOD + "stop:\n  time_budget_s: 60\n", 10, "stop.time_budget_s", "write time: 60"),
    "Ray's grace period": (
        GOOD + "pruner: {type: asha, grace_period: 2}\n",
        9,
        "pruner.grace_period",
        "write min_resource: 2",
    ),
    "Ray's longest trial": (
        GOOD + "pruner: {type: asha, max_t: 9}\n",
        9,
        "pruner.max_t",
        "leave it out: a trial ends",
    ),
    "Ray's longest trial with hyperband": (
        GOOD + "pruner: {type: hyperband, max_t: 9}\n",
        9,
        "pruner.max_t",
        "write max_resource: 9",
    ),
    "Optuna's jobs": (GOOD + "n_jobs: 2\n", 9, "n_jobs", "write max_parallel: 2"),
    "Optuna's jobs on all cores": (GOOD + "n_jobs: -1\n", 9, "n_jobs", "leave it out: as many trials"),
    "Optuna's timeout": (GOOD + "timeout: 60\n", 9, "timeout", "write stop: {time: 60} for the whole sweep"),
    "Optuna's name of a study": (GOOD + "study_name: mine\n", 9, "study_name", "write name: mine"),
    "Ray's number of trials": (GOOD + "num_samples: 9\n", 9, "num_samples", "write stop: {trials: 9}"),
    # wrong types
    "parameters in a list": (HEAD + "parameters: [lr]\n", 3, "parameters", "expected a mapping"),
    "no parameters": (HEAD + "parameters: {}\n", 3, "parameters", "is empty; give at least one"),
    "nothing for parameters": (HEAD + "parameters:\n", 3, "parameters", "such as {"),
    "parameters left out": (HEAD, 1, "parameters", "is missing; write for example"),
    "a string for a bound": (
        parameter("a: {min: low, max: 2}"),
        9,
        "parameters.a.min",
        "expected a number, got",
    ),
    "no upper bound": (parameter("a: {min: 1}"), 9, "parameters.a.max", "is missing"),
    "a tab as indentation": ("objective:\n\ta", 2, "", "indent with spaces instead of tabs"),
    "a name of W&B": (GOOD + "sampler: bayes\n", 9, "sampler.type", "did you mean 'tpe'?"),
    "operators of C": (
        GOOD + "constraints: ['a > 0 && a < 1']\n",
        9,
        "constraints.0",
        "write and, or, not for",
    ),
    "a list for a parameter": (parameter("a: [8, 2]"), 9, "parameters.a", "write {values: [8, 2]}"),
    "two ends": (
        parameter("a: [0, 0.5]"),
        9,
        "parameters.a",
        "write {min: 0, max: 0.5} for a range, {values",
    ),
    "a string for values": (parameter("a: {values: abc}"), 9, "parameters.a.values", "expected a list"),
    "no values": (parameter("a: {values: []}"), 9, "parameters.a.values", "give at least one"),
    "a value twice": (
        parameter("a: {values: [1, 1.0]}"),
        9,
        "parameters.a.values",
        "is a duplicate; leave one out",
    ),
    "infinity": (parameter("a: {values: [.inf]}"), 9, "parameters.a.values", "give a finite number"),
    "a string for log": (
        parameter("a: {min: 1, max: 2, log: yep}"),
        9,
        "parameters.a.log",
        "expected true or false",
    ),
    "log from 0": (parameter("a: {min: 0, max: 2, log: true}"), 9, "parameters.a.min", "and add or: [0]"),
    "log below 0": (
        parameter("a: {min: -2.0, max: 2, log: true}"),
        9,
        "parameters.a.min",
        "or leave log out",
    ),
    "bounds swapped": (parameter("a: {min: 2, max: 1}"), 9, "parameters.a.max", "swap them"),
    "a step of 0": (parameter("a: {min: 1, max: 2, step: 0}"), 9, "parameters.a.step", "greater than 0"),
    "a step too large": (
        parameter("a: {min: 1, max: 2, step: 2}"),
        9,
        "parameters.a.step",
        "make it smaller",
    ),
    "a step too fine": (
        parameter("a: {min: 1024.0, max: 1025, step: 1e-6}"),
        9,
        "parameters.a.step",
        "write at least 0.001,",
    ),
    "step and log": (
        parameter("a: {min: 1, max: 8, step: 2, log: true}"),
        9,
        "parameters.a.step",
        "leave one out",
    ),
    "a name with blanks": (parameter("' a': 3"), 9, "parameters. a", "cannot name a parameter"),
    "a name that samplers use": (parameter("'lr:u': 3"), 9, "parameters.lr:u", "rename"),
    "a name twice by its groups": (
        parameter("g: {parameters: {a: 1}}\n  g.a: 2"),
        10,
        "parameters.g.a",
        "the name 'g.a' is a duplicate; rename one",
    ),
    "groups a hundred deep": (nested(300), 9, "", "nested too deeply"),
    # or
    "or in the range": (
        parameter("a: {min: 1, max: 9, step: 2, or: [2, 3]}"),
        9,
        "parameters.a.or",
        "3 is already in the range; leave it out",
    ),
    "or nothing": (
        parameter("a: {min: 1, max: 2, or: []}"),
        9,
        "parameters.a.or",
        "is empty; give at least one",
    ),
    "or a number": (parameter("a: {min: 1, max: 2, or: 0}"), 9, "parameters.a.or", "such as [1, 2]"),
    "or a list": (
        parameter("a: {min: 1, max: 2, or: [[0]]}"),
        9,
        "parameters.a.or",
        "a finite number or a string",
    ),
    "or with values": (parameter("a: {values: [1], or: [0]}"), 9, "parameters.a.or", "leave one out"),
    # probabilities
    "too few probabilities": (
        parameter("a: {values: [1, 2], probabilities: [1]}"),
        9,
        "parameters.a.probabilities",
        "give one for each",
    ),
    "a probability of 0": (
        parameter("a: {values: [1, 2], probabilities: [1, 0]}"),
        9,
        "parameters.a.probabilities.1",
        "greater than 0",
    ),
    "a share without width": (
        parameter("a: {values: [x, y, z], probabilities: [1, 1e-20, 1]}", "enqueue: [{a: y}]\n"),
        9,
        "parameters.a.probabilities",
        "1e-20 is so small a share of their sum that its value is never sampled; leave both out",
    ),
    "probabilities of a range": (
        parameter("a: {min: 1, max: 2, probabilities: [1, 2]}"),
        9,
        "parameters.a.probabilities",
        "leave one out",
    ),
    # distributions
    "an unknown distribution": (
        parameter("a: {distribution: nomal}"),
        9,
        "parameters.a.distribution",
        "did you mean 'normal'",
    ),
    "a list of distributions": (
        parameter("a: {distribution: [normal]}"),
        9,
        "parameters.a.distribution",
        "did you mean 'normal'",
    ),
    "W&B's uniform": (
        parameter("a: {distribution: uniform, min: 0, max: 1}"),
        9,
        "parameters.a.distribution",
        "write {min: 0.0, max: 1.0}",
    ),
    "W&B's log_uniform": (
        parameter("a: {distribution: log_uniform, min: -9, max: -1}"),
        9,
        "parameters.a.distribution",
        "exponents of e",
    ),
    "W&B's constant": (
        parameter("a: {distribution: constant, value: 1}"),
        9,
        "parameters.a",
        "write {value: ...}",
    ),
    "W&B's categorical": (
        parameter("a: {distribution: categorical, values: [1]}"),
        9,
        "parameters.a",
        "write {values: [...]}",
    ),
    "normal with bounds": (
        parameter("a: {distribution: normal, min: 0}"),
        9,
        "parameters.a.min",
        "it takes mu and sigma",
    ),
    "beta without b": (parameter("a: {distribution: beta, a: 1}"), 9, "parameters.a.b", "beta takes a and b"),
    "beta beyond floats": (
        parameter("a: {distribution: beta, a: 1e-300, b: 1}"),
        9,
        "parameters.a.a",
        "at least",
    ),
    "a sigma of 0": (
        parameter("a: {distribution: normal, sigma: 0}"),
        9,
        "parameters.a.sigma",
        "greater than 0",
    ),
    "mu without distribution": (parameter("a: {mu: 0}"), 9, "parameters.a", "add distribution: normal"),
    "a log_normal beyond floats": (
        parameter("a: {distribution: log_normal, mu: 400}"),
        9,
        "parameters.a",
        "those of the log",
    ),
    "a q beyond floats": (
        parameter("a: {distribution: q_normal, mu: 1e100, q: 1e-300}"),
        9,
        "parameters.a.q",
        "must be at least",
    ),
    # defaults
    "a default outside a range": (
        parameter("a: {min: 0.0, max: 1.0, default: 2}"),
        9,
        "parameters.a.default",
        "a number from 0.0 to 1.0",
    ),
    "a default between steps": (
        parameter("a: {min: 1, max: 9, step: 2, default: 2}"),
        9,
        "parameters.a.default",
        "in steps of 2",
    ),
    "a default that is not one of the choices": (
        parameter("a: {values: [sgd, adam], default: sdg}"),
        9,
        "parameters.a.default",
        "'sgd'",
    ),
    "a string for the default of a distribution": (
        parameter("a: {distribution: normal, default: abc}"),
        9,
        "parameters.a.default",
        "number",
    ),
    "a default for a constant": (
        parameter("a: {value: 1, default: 1}"),
        9,
        "parameters.a.default",
        "leave one",
    ),
    # conditions
    "a condition that is a string": (
        parameter("a: {value: 1, when: act}"),
        9,
        "parameters.a.when",
        "such as {",
    ),
    "a condition on nothing": (parameter("a: {value: 1, when: {}}"), 9, "parameters.a.when", "is empty"),
    "a condition on an unknown parameter": (
        parameter("a: {value: 1, when: {atc: relu}}"),
        9,
        "parameters.a.when.atc",
        "did you mean 'act'",
    ),
    "a condition on a value that never comes": (
        parameter("a: {value: 1, when: {act: relo}}"),
        9,
        "parameters.a.when.act",
        "act is never 'relo'; did you mean 'relu'?",
    ),
    "a condition on one item of a list": (
        parameter("z: {values: [[64], [64, 64]]}\n  a: {value: 1, when: {z: [64]}}"),
        10,
        "parameters.a.when.z",
        "z is never 64; it is one of [64], [64, 64]; a condition cannot name a list or a mapping",
    ),
    "a condition without a value": (
        parameter("a: {value: 1, when: {act: []}}"),
        9,
        "parameters.a.when.act",
        "give at least one",
    ),
    "a condition between steps": (
        parameter("a: {value: 1, when: {n: 2}}"),
        9,
        "parameters.a.when.n",
        "n is never 2; it is a whole number from 1 to 9 in steps of 2",
    ),
    "a condition on a number for a flag": (
        parameter("a: {value: 1, when: {flag: 1}}"),
        9,
        "parameters.a.when.flag",
        "flag is never 1; ",
    ),
    "a condition on another constant": (
        parameter("a: {value: 1, when: {epochs: 9}}"),
        9,
        "parameters.a.when.epochs",
        "it is always 8",
    ),
    "a condition on a string for a distribution": (
        parameter("d: {distribution: normal}\n  a: {value: 1, when: {d: abc}}"),
        10,
        "parameters.a.when.d",
        "d is never 'abc'; it is a number",
    ),
    "a condition on a list": (
        parameter("a: {value: 1, when: {act: [[relu]]}}"),
        9,
        "parameters.a.when.act",
        "give a finite number or a string",
    ),
    "a condition on itself": (
        parameter("a: {values: [1, 2], when: {a: 1}}"),
        9,
        "parameters.a",
        "a depends on a",
    ),
    "conditions in a cycle": (
        parameter("a: {values: [1, 2], when: {b: 1}}\n  b: {values: [1, 2], when: {a: 1}}"),
        9,
        "parameters.a",
        "a depends on b depends on a; remove one of them",
    ),
    "a group that depends on one of its own parameters": (
        parameter("g:\n    when: {g.a: 1}\n    parameters: {a: {values: [1, 2]}}"),
        9,
        "parameters.g",
        "g.a depends on g.a",
    ),
    # constraints
    "a constraint that is not a string": (
        GOOD + "constraints:\n  - 3\n",
        10,
        "constraints.0",
        "expected a string",
    ),
    "a constraint with a keyword of Python": (
        parameter("g: {parameters: {lambda: 1}}", 'constraints: ["n > 2 and g.lambda < 3"]\n'),
        10,
        "constraints.0",
        'write params["g.lambda"]',
    ),
    "constraints in a mapping": (GOOD + "constraints: {a: 1}\n", 9, "constraints", "expected a list"),
    "a constraint that is not an expression": (
        GOOD + "constraints:\n  - n >= 1\n  - n <=\n",
        11,
        "constraints.1",
        "write for example",
    ),
    "a constraint that is a statement": (
        GOOD + "constraints: ['n = 3']\n",
        9,
        "constraints.0",
        "not an expression",
    ),
    "a constraint that calls a function": (
        GOOD + "constraints: ['open(n) == 1']\n",
        9,
        "constraints.0",
        "'open(n)' is not allowed; use only",
    ),
    "a constraint on an unknown parameter": (
        GOOD + "constraints:\n  - epoch * n <= 8\n",
        10,
        "constraints.0",
        "did you mean 'epochs'",
    ),
    "a constraint on nothing": (GOOD + "constraints: ['1 < 2']\n", 9, "constraints.0", "names no parameter"),
    "a constraint that compares strings with numbers": (
        GOOD + "constraints:\n  - n >= 1\n  - act < 3\n",
        11,
        "constraints.1",
        "compares 'relu' with 3",
    ),
    "a constraint that is a number": (
        GOOD + "constraints:\n  - n + 3\n",
        10,
        "constraints.0",
        "neither true nor false; add a comparison",
    ),
    "a constraint that is never true": (
        GOOD + "constraints: [n > 10]\n",
        9,
        "constraints",
        "n > 10 rejects 100% of them; widen a range or relax a constraint",
    ),
    "a constraint that is never true on a grid": (
        HEAD + "sampler: grid\nconstraints: [n > 10]\nparameters: {n: {min: 1, max: 3}}\n",
        4,
        "constraints",
        "no configuration of the grid satisfies all of them; widen one",
    ),
    "a constraint of lines": (
        GOOD + "constraints: [\"f'''{n}\\n{n}''' == 3\"]\n",
        9,
        "constraints.0",
        "not allowed; use only",
    ),
    # metrics
    "no metric": (
        GOOD.replace("metric: {name: loss, goal: minimize}\n", ""),
        1,
        "metric",
        "write for example",
    ),
    "a metric without goal": (
        GOOD.replace("{name: loss, goal: minimize}", "loss"),
        2,
        "metric",
        "goal: maximize",
    ),
    "an unknown goal": (GOOD.replace("minimize", "min"), 2, "metric.goal", "did you mean 'minimize'"),
    "metric and metrics": (
        GOOD + "metrics: [{name: acc, goal: maximize}]\n",
        2,
        "metric",
        "cannot be combined with metrics; leave one out",
    ),
    "metrics without goals": (
        "objective: train.py:train\nmetrics:\n  - {name: ms, constraint: '<= 2'}\n" + BODY,
        2,
        "metrics",
        "write goal: maximize or minimize",
    ),
    "a metric with neither goal nor limit": (
        "objective: train.py:train\nmetrics:\n  - {name: a, goal: maximize}\n  - {name: ms}\n" + BODY,
        4,
        "metrics.1",
        "has no goal; write maximize",
    ),
    "a metric twice": (
        "objective: train.py:train\nmetrics:\n  - {name: a, goal: maximize}\n  - {name: a, goal: minimize}\n"
        + BODY,
        2,
        "metrics",
        "is a duplicate; leave one out",
    ),
    "no metrics": (
        "objective: train.py:train\nmetrics: []\n" + BODY,
        2,
        "metrics",
        "is empty; give at least one",
    ),
    "metrics in a mapping": (
        "objective: train.py:train\nmetrics: {name: a, goal: maximize}\n" + BODY,
        2,
        "metrics",
        "such as [",
    ),
    "metrics of strings": (
        "objective: train.py:train\nmetrics: [a]\n" + BODY,
        2,
        "metrics.0",
        "{key: value}",
    ),
    "a limit without sign": (
        "objective: train.py:train\nmetrics:\n  - {name: a, goal: maximize, constraint: 20}\n" + BODY,
        3,
        "metrics.0.constraint",
        'write for example "<= 20"',
    ),
    "a limit that is not a number": (
        "objective: train.py:train\nmetrics:\n  - {name: a, goal: maximize, constraint: <= fast}\n" + BODY,
        3,
        "metrics.0.constraint",
        'write for example "<= 20"',
    ),
    "a pruner of an unknown metric": (
        GOOD + "pruner: {type: median, metric: los}\n",
        9,
        "pruner.metric",
        "did you mean 'loss'",
    ),
    # repeats
    "no repeats": (GOOD + "repeats: 0\n", 9, "repeats", "greater than 0"),
    "repeats in a list": (GOOD + "repeats: [1, 2]\n", 9, "repeats", "write {seeds: [1, 2]}"),
    "an unknown reduction": (
        GOOD + "repeats: {seeds: 3, reduce: avg}\n",
        9,
        "repeats.reduce",
        "possible: mean",
    ),
    "half a repeat": (GOOD + "repeats: 1.5\n", 9, "repeats", "whole number"),
    "infinite repeats": (GOOD + "repeats: .inf\n", 9, "repeats", "whole number"),
    "a seed for repeats twice": (GOOD + "repeats: {seeds: [3, 3]}\n", 9, "repeats.seeds", "leave one out"),
    # samplers and pruners
    "an unknown sampler": (GOOD + "sampler: tpee\n", 9, "sampler.type", "did you mean 'tpe'"),
    "a list of samplers": (GOOD + "sampler: [tpe]\n", 9, "sampler", "{key: value}"),
    "a sampler with another one's option": (
        GOOD + "sampler: {type: random, startup_trials: 3}\n",
        9,
        "sampler.startup_trials",
        "possible: seed, type",
    ),
    "a negative seed": (GOOD + "sampler: {seed: -1}\n", 9, "sampler.seed", "must be at least 0"),
    "a string for a number of trials": (
        GOOD + "sampler: {startup_trials: few}\n",
        9,
        "sampler.startup_trials",
        "whole number",
    ),
    "an option under both of its names": (
        GOOD + "sampler: {startup_trials: 1, n_startup_trials: 1}\n",
        9,
        "sampler.n_startup_trials",
        "leave one out",
    ),
    "cmaes with a choice": (GOOD + "sampler: cmaes\n", 9, "sampler.type", "write tpe or gp"),
    "cmaes with several goals": (
        "objective: train.py:train\nmetrics: [{name: a, goal: maximize}, {name: b, goal: minimize}]\n"
        "sampler: {type: cmaes}\nparameters: {x: {min: 0.0, max: 1.0}}\n",
        3,
        "sampler.type",
        "write tpe",
    ),
    "an unbounded grid": (GOOD + "sampler: grid\n", 4, "parameters.lr", "give it a step"),
    "an unbounded grid in a group": (
        HEAD
        + "sampler: grid\nparameters:\n  g:\n    parameters:\n      a: 1\n      b: {min: 0.0, max: 1.0}\n",
        8,
        "parameters.g.b",
        "give it a step",
    ),
    "a grid too large for constraints": (
        HEAD + "sampler: grid\nconstraints: [n > 10]\nparameters: {n: {min: 1, max: 100000000}}\n",
        4,
        "constraints",
        "use another sampler",
    ),
    "an unknown pruner": (GOOD + "pruner: medan\n", 9, "pruner.type", "did you mean 'median'"),
    "a percentile beyond 100": (
        GOOD + "pruner: {type: percentile, percentile: 101}\n",
        9,
        "pruner.percentile",
        "100",
    ),
    "a pruner without type": (GOOD + "pruner: {patience: 3}\n", 9, "pruner", "possible: none"),
    "a class that is not there": (GOOD + "sampler: nowhere.at_all:Sampler\n", 9, "sampler.type", "nowhere"),
    # what is run
    "neither objective nor program": (
        GOOD.replace("objective: train.py:train\n", ""),
        1,
        "objective",
        "write",
    ),
    "objective and program": (GOOD + "program: train.py\n", 1, "objective", "leave one out"),
    "an objective without function": (
        GOOD.replace(":train\n", "\n"),
        1,
        "objective",
        "write file.py:function",
    ),
    "an unknown macro": (
        GOOD.replace("objective: train.py:train", "program: train.py")
        + 'command: ["${interpreter}", "${program}", "${arg}"]\n',
        9,
        "command",
        "${args}",
    ),
    "a command that is a string": (
        GOOD.replace("objective: train.py:train", "program: train.py") + "command: python train.py\n",
        9,
        "command",
        "list",
    ),
    "a command for a function": (GOOD + "command: [python]\n", 1, "objective", "leave one out"),
    "a macro in braces without quotes": (
        GOOD.replace("objective: train.py:train", "program: train.py")
        + "command: [python, ${program}, ${args}]\n",
        9,
        "",
        "in quotes",
    ),
    "a share of two GPUs": (GOOD + "resources: {gpu: 1.5}\n", 9, "resources.gpu", "whole number of GPUs"),
    "an unknown cause": (GOOD + "trial: {retry_on: [crsh]}\n", 9, "trial.retry_on", "did you mean 'crash'"),
    "a time without unit": (GOOD + "trial: {timeout: soon}\n", 9, "trial.timeout", "such as 90s"),
    "enqueue of a string": (GOOD + "enqueue: [default]\n", 9, "enqueue.0", "expected defaults or values"),
    "enqueue of a number": (GOOD + "enqueue: 3\n", 9, "enqueue", "expected a list"),
}

ENQUEUED: dict[str, tuple[str, int | None, str, str]] = {
    "of an unknown parameter": (GOOD + "enqueue:\n  - {rl: 0.01}\n", 10, "enqueue.0.rl", "possible: lr"),
    "of a value outside": (GOOD + "enqueue:\n  - {lr: 3}\n", 10, "enqueue.0.lr", "from 0.0001 to 0.1"),
    "of a value between the steps of a wide range": (
        parameter("a: {min: 0, max: 100000000, step: 10000000}", "enqueue:\n  - {a: 1}\n"),
        11,
        "enqueue.0.a",
        "in steps of 10000000",
    ),
    "of a negative value of a log-normal distribution": (
        parameter("a: {distribution: log_normal, mu: -20, sigma: 1}", "enqueue:\n  - {a: -5e-7}\n"),
        11,
        "enqueue.0.a",
        "a is never -5e-07",
    ),
    "of a number of hundreds of digits": (
        parameter("a: {distribution: normal}", f"enqueue:\n  - {{a: 1{'0' * 400}}}\n"),
        11,
        "enqueue.0.a",
        "a is never 1000",
    ),
    "of an inactive parameter": (
        parameter("m: {min: 0.0, max: 1.0, when: {act: relu}}", "enqueue:\n  - {act: gelu, m: 0.5}\n"),
        11,
        "enqueue.0.m",
        "m is active only if act is 'relu', and it is 'gelu'; leave m out",
    ),
    "against a constraint": (
        GOOD + "constraints: [n * epochs <= 30]\nenqueue:\n  - {n: 9}\n",
        11,
        "enqueue.0",
        "violates the constraint",
    ),
}


def write(project: Path, text: str) -> Path:
    (project / "train.py").write_text("def train(trial): ...\n")
    (project / "space.yaml").write_text(text)
    return project / "space.yaml"


def says(line: str, place: int | None, key: str, hint: str) -> bool:
    where = "space.yaml" if place is None else f"space.yaml:{place}"
    return line.startswith(f"error: {where}: {key}") and hint in line and len(line) < 600


Check = Callable[[str], tuple[int, str]]


@pytest.fixture
def check(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(text: str) -> tuple[int, str]:
        write(project, text)
        monkeypatch.setattr(sys, "argv", ["sweep", "check", "space.yaml"])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("name", MALFORMED)
def test_a_mistake_is_one_line_with_its_place_and_what_to_write(check: Check, name: str) -> None:
    text, *expected = MALFORMED[name]
    status, output = check(text)
    assert status == 2, output
    (line,) = output.splitlines()
    assert says(line, *expected), line


def test_the_file_without_mistakes_has_none(check: Check) -> None:
    assert check(GOOD) == (0, "")


@pytest.mark.parametrize("name", ENQUEUED)
def test_a_mistake_in_enqueue_is_one_line_with_its_place(check: Check, name: str) -> None:
    text, *expected = ENQUEUED[name]
    status, output = check(text)
    assert status == 2, output
    (line,) = output.splitlines()
    assert says(line, *expected), line


@pytest.mark.process
@pytest.mark.parametrize(
    "name",
    [
        "an alias of itself",
        "conditions in a cycle",
        "a constraint that is never true",
        "an unbounded grid",
    ],
)
def test_sweep_check_prints_the_same_message(project: Path, name: str) -> None:
    text, *expected = MALFORMED[name]
    write(project, text)
    ended = call("check", "space.yaml", status=2)
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert says(line, *expected), line
    assert not re.search('Traceback|File "', ended.stderr)
