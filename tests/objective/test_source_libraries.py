"""What is read from scripts whose command line a library makes from dataclasses, functions or files."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InputError
from sweep.objective.source_reader import read_source

LR = {"min": 0.01, "max": 1.0, "log": True, "default": 0.1}
FIELDS = """
from dataclasses import dataclass, field
from typing import Literal

@dataclass
class Optimizer:
    lr: float = 0.1
    nesterov: bool = True

@dataclass
class Args:
    name: str
    fast: bool = False
    optimizer: Optimizer = field(default_factory=Optimizer)
    kind: Literal["a", "b"] = "b"
    betas: tuple[float, ...] = (0.9, 0.99)
    drop: float = field(default=0.1)
    tags: list[str] = field(default_factory=list)
"""
FOUND = {
    "fast": {"values": [True, False], "default": False},
    "optimizer.lr": LR,
    "optimizer.nesterov": {"values": [True, False], "default": True},
    "kind": {"values": ["a", "b"], "default": "b"},
    "betas": {"values": [[0.9, 0.99]]},
    "drop": LR,
}
DATACLASSES = {
    "import tyro\ntyro.cli(Args)": "args_tyro",
    "from tyro import cli as run\nrun(Args, description='x')": "args_tyro",
    "from transformers import HfArgumentParser\nHfArgumentParser((Args,))": "args_hf",
    "import simple_parsing as sp\nsp.parse(Args)": "args_hf",
    "import simple_parsing\np = simple_parsing.ArgumentParser()\np.add_arguments(Args, 'a')": "args_hf",
    "import pyrallis\n@pyrallis.wrap()\ndef main(cfg: Args): ...": "args_jsonargparse",
}


@pytest.mark.parametrize("call", DATACLASSES)
def test_the_fields_of_a_dataclass_are_examples_and_the_command_line_is_right(
    project: Path, call: str
) -> None:
    (project / "train.py").write_text(f"{FIELDS}\n{call}\n")
    source = read_source("train.py")
    assert source.command == ["${interpreter}", "${program}", f"${{{DATACLASSES[call]}}}"]
    assert source.parameters == {}
    assert source.examples == FOUND
    assert [note.split(":")[0] for note in source.notes] == [
        "name has no default",
        "tags takes a list or an object",
    ]


@pytest.mark.parametrize("base", ["Args", "transformers.Args"])
def test_a_dataclass_can_have_the_name_of_its_imported_base(project: Path, base: str) -> None:
    imports = "import transformers, tyro\nfrom transformers import Args\n"
    code = f"{imports}class Args({base}):\n    lr: float = 0.1\n"
    (project / "train.py").write_text(f"{code}tyro.cli(Args)\n")
    assert read_source("train.py").examples == {"lr": LR}


FUNCTIONS: dict[str, list[str]] = {
    "import fire\nfire.Fire(main)": [],
    "from jsonargparse import CLI\nCLI(main)": ["${interpreter}", "${program}", "${args_jsonargparse}"],
    "import tyro\ntyro.cli(main)": ["${interpreter}", "${program}", "${args_tyro}"],
}


@pytest.mark.parametrize("call", FUNCTIONS)
def test_the_defaults_of_a_function_are_examples(project: Path, call: str) -> None:
    (project / "train.py").write_text(f"def main(data, lr: float = 0.1, *, amp=False): ...\n{call}\n")
    source = read_source("train.py")
    assert source.command == FUNCTIONS[call]
    assert source.examples == {"lr": LR, "amp": {"values": [True, False], "default": False}}


@pytest.mark.parametrize("run", [True, False])
def test_lightning_cli_gets_its_subcommand_and_the_prefixes_of_its_classes(project: Path, run: bool) -> None:
    (project / "train.py").write_text(
        textwrap.dedent(
            f"""
            import lightning as L
            from lightning.pytorch.cli import LightningCLI

            class Model(L.LightningModule):
                def __init__(self, lr: float = 0.1, width: int = 32): ...

            class Data(L.LightningDataModule):
                def __init__(self, batch_size: int = 8): ...

            class MyCLI(LightningCLI): ...

            MyCLI(Model, Data, run={run})
            """
        )
    )
    source = read_source("train.py")
    assert source.command == [
        *("${interpreter}", "${program}", *(["fit"] if run else []), "${args_jsonargparse}"),
    ]
    assert list(source.examples) == ["model.lr", "model.width", "data.batch_size", "trainer.max_epochs"]


HYDRA = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="train")
def main(cfg): ...

main()
"""


def test_hydras_groups_and_numbers_are_examples(project: Path) -> None:
    for file, text in {
        "train.yaml": "defaults: [_self_, {model: small}, {override hydra/launcher: x}]\nseed: 4\nname: x\n",
        "model/small.yaml": "optimizer: {lr: 1e-1, fused: true}\n",
        "model/large.yaml": "",
    }.items():
        (project / "conf" / file).parent.mkdir(parents=True, exist_ok=True)
        (project / "conf" / file).write_text(text)
    (project / "train.py").write_text(HYDRA)
    source = read_source("train.py")
    assert source.command == ["${interpreter}", "${program}", "${args_hydra}"]
    assert source.examples == {
        "model": {"values": ["large", "small"], "default": "small"},
        "model.optimizer.lr": LR,
        "seed": {"min": 2, "max": 8, "default": 4},
    }


def test_hydra_without_a_readable_configuration_still_gets_its_command_line(project: Path) -> None:
    (project / "train.py").write_text(HYDRA)
    source = read_source("train.py")
    assert source.command == ["${interpreter}", "${program}", "${args_hydra}"]
    assert source.examples == {}


def test_a_structured_configuration_of_hydra_is_read(project: Path) -> None:
    store = "cs.store(name='train', node=Optimizer)\n"
    code = HYDRA.replace('config_path="conf", ', "")
    (project / "train.py").write_text(f"{FIELDS}\n{store}{code}")
    assert read_source("train.py").examples.keys() == {"lr", "nesterov"}


def test_absl_flags_are_examples(project: Path) -> None:
    (project / "train.py").write_text(
        "from absl import app, flags\n"
        "flags.DEFINE_float('lr', 0.1, 'rate')\nflags.DEFINE_bool('amp', True, 'x')\n"
        "flags.DEFINE_enum('opt', 'a', ['a', 'b'], 'x')\nflags.DEFINE_list('l', [], 'x')\n"
    )
    source = read_source("train.py")
    assert source.command == []
    assert source.examples == {
        "lr": LR,
        "amp": {"values": [True, False], "default": True},
        "opt": {"values": ["a", "b"], "default": "a"},
    }


def test_subcommands_and_changed_defaults_get_a_note(project: Path) -> None:
    (project / "train.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\ns = p.add_subparsers()\n"
        "p.add_argument('--lr', type=float, default=0.1)\np.set_defaults(lr=1)\n"
    )
    notes: Any = read_source("train.py").notes
    assert "the script has subcommands: write the one to run in command" in notes
    assert "line 5: set_defaults changes the defaults of options" in notes


SWEEPER = """
optimized_metric: val/acc
hydra:
  sweeper:
    _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
    direction: maximize
    n_trials: 30
    n_jobs: 4
    storage: sqlite:///study.db
    sampler: {_target_: optuna.samplers.TPESampler, seed: 12, n_startup_trials: 5, multivariate: null}
    search_space: {old: {type: int, low: 1, high: 8, log: true}}
    params: PARAMS
"""
SWEEPS: dict[str, Any] = {
    "interval(0.0001, 1)": {"min": 0.0001, "max": 1.0},
    "tag(log, interval(0.1, 10))": {"min": 0.1, "max": 10.0, "log": True},
    "int(interval(1, 8))": {"min": 1, "max": 8},
    "tag(log, int(interval(1, 8)))": {"min": 1, "max": 8, "log": True},
    "range(1, 9, step=2)": {"min": 1, "max": 9, "step": 2},
    "range(0, 1, 0.25)": {"min": 0.0, "max": 1.0, "step": 0.25},
    "choice(32, 64)": {"values": [32, 64]},
    "choice(resnet-18, null, true, 'a b', 1e-3)": {"values": ["resnet-18", None, True, "a b", 1e-3]},
    "shuffle(choice(a, b))": {"values": ["a", "b"]},
    "a,b": {"values": ["a", "b"]},
    "gpu-4": "gpu-4",
    "/data/x": "/data/x",
    "3": 3,
    "glob(*)": None,
    "choice([a, b])": None,
    "choice(/data/a, /data/b)": None,
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_configuration_of_hydras_sweeper_is_translated(project: Path, sweep: str) -> None:
    (project / "src").mkdir()
    (project / "src" / "train.py").write_text(HYDRA)
    (project / "search.yaml").write_text(SWEEPER.replace("PARAMS", repr({"model.x": sweep})))
    source = read_source("search.yaml")
    assert (source.key, source.target, source.to_do) == ("program", "src/train.py", "")
    assert source.command == ["${interpreter}", "${program}", "${args_hydra}"]
    assert source.metrics == ["val/acc"]
    assert source.study == {
        "goals": ["maximize"],
        "stop": {"trials": 30},
        "max_parallel": 4,
        "sampler": {"type": "tpe", "seed": 12, "n_startup_trials": 5},
    }
    assert any(note.startswith("storage: sqlite:///study.db") for note in source.notes)
    assert source.parameters.pop("old") == {"min": 1, "max": 8, "log": True}
    assert source.parameters == ({} if SWEEPS[sweep] is None else {"model.x": SWEEPS[sweep]})
    assert (f"model.x: {sweep} cannot be translated" in source.notes) == (SWEEPS[sweep] is None)


def test_an_option_without_a_default_has_an_example_of_its_type(project: Path) -> None:
    (project / "train.py").write_text(
        "import argparse\nfrom lightning.pytorch.cli import LightningCLI\n"
        "class Net:\n    def __init__(\n        self, act: str | None = None, n: int | None = None, "
        "p: Optional[float] = None\n    ): ...\nLightningCLI(Net)\n"
    )
    source = read_source("train.py")
    del source.examples["trainer.max_epochs"]
    assert source.examples == {"model.n": {"min": 1, "max": 10}, "model.p": {"min": 0.0, "max": 1.0}}
    assert source.notes == ["model.act has no default: for example model.act: {values: [...]}"]
    (project / "plain.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--data', required=True)\n"
    )
    assert read_source("plain.py").examples == {}


def test_a_yaml_file_without_hydras_sweeper_is_an_error(project: Path) -> None:
    (project / "space.yaml").write_text("method: grid\n")
    with pytest.raises(InputError, match=r"space\.yaml: has no hydra.sweeper.params; .* sweep convert"):
        read_source("space.yaml")
    (project / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"bad\.yaml: cannot be read"):
        read_source("bad.yaml")
