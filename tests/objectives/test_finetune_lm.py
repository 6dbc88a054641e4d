"""Fine-tuning a language model works offline, and resumes after a kill."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sweep
from sweep.messages import Assignment, Report
from sweep.tracking.hparams import Session
from sweep.tracking.run_logger import RunLogger
from sweep.trial.channel import Interrupted
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.params import Params
from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "objectives"))
import finetune_lm
import finetune_lm_base
import finetune_lm_text

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's use of transformers

OBJECTIVES = REPOSITORY / "objectives"
BASE = {"width": 64, "layers": 1, "steps": 40}
PARAMS = {
    "lr": 1e-2,
    "rank": 4,
    "alpha": 16,
    "dropout": 0.1,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "schedule": "linear",
    "clip": 1.0,
    "steps": 12,
    "eval_every": 4,
    "batch_size": 4,
    "context": 64,
    "model": None,
    "text": None,
    **{f"base.{name}": value for name, value in BASE.items()},
}
POEM = "Tyger tyger, burning bright, in the forests of the night; what immortal hand or eye, {}?\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the base model, which is built once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Name resolution fails in all tests, and all use the same base model."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def poem(tmp_path: Path) -> Path:
    """A text that a small model can learn."""
    file = tmp_path / "poem.txt"
    file.write_text("".join(POEM.format("abcdefgh"[number % 8]) for number in range(400)))
    return file


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """A custom model as saved by transformers, with Conv1D layers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base())
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=1, n_head=2
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def base() -> Path:
    return finetune_lm_base.base_model(Params(BASE), "cpu")


# Training


def test_it_learns_and_logs_curves_and_generated_text(tmp_path: Path, poem: Path) -> None:
    story = Story(tmp_path / "trial", text=str(poem), rank=16, alpha=64, steps=40, eval_every=20)
    story.run()
    assert list(story.reported) == [0, 20, 40]
    assert all(math.isfinite(perplexity) for perplexity in story.reported.values())
    assert story.reported[40] < story.reported[20] < 0.8 * story.reported[0]
    events = EventAccumulator(str(tmp_path / "trial"), size_guidance={"tensors": 0}).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(5, 41, 5))
    assert events.Scalars("train/loss")[-1].value < events.Scalars("train/loss")[0].value
    assert events.Scalars("train/lr")[-1].value == 0
    assert {"val/loss", "train/grad_norm"} <= set(events.Tags()["scalars"])
    samples = events.Tensors("sample/text_summary")
    assert [sample.step for sample in samples] == [0, 20, 40]
    assert b"Tyger" in samples[0].tensor_proto.string_val[0]


def test_the_saved_adapters_have_the_last_perplexity(tmp_path: Path, poem: Path) -> None:
    story = Story(tmp_path / "trial", text=str(poem), steps=8)
    story.run()
    model = transformers.AutoModelForCausalLM.from_pretrained(base())
    tuned = PeftModel.from_pretrained(model, tmp_path / "trial" / "adapter").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base())
    held_out = finetune_lm_text.to_blocks(finetune_lm_text.documents(str(poem)).held_out, tokenizer, 64)
    with torch.no_grad():
        loss = tuned(input_ids=held_out, labels=held_out).loss.item()
    assert math.exp(loss) == pytest.approx(story.reported[8], rel=1e-4)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_trial_killed_at_any_checkpoint_has_the_same_result(
    tmp_path: Path, poem: Path, schedule: str
) -> None:
    settings = {"text": str(poem), "schedule": schedule}
    if schedule == "cosine":
        settings["floor"] = 0.2
    whole = Story(tmp_path / "whole", **settings)
    whole.run()
    torn = Story(tmp_path / "torn", stop_at=0, **settings)
    for stop_at in (0, 4, 8):
        torn.stop_at = stop_at
        with pytest.raises(Interrupted):
            torn.run()
        torch.rand(7)  # as other trials in this process do
        assert list(torn.reported) == list(range(0, stop_at + 1, 4))
    torn.stop_at = None
    torn.run()
    assert torn.reported == whole.reported
    curves = [_curve(tmp_path / name, "train/loss") for name in ("whole", "torn")]
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[0]] == [4, 5, 8, 10, 12]
    torn.run()
    assert torn.reported == whole.reported, "it resumed after its last step"


def _curve(directory: Path, tag: str) -> list[tuple[int, float]]:
    found: dict[int, float] = {}
    for file in sorted(directory.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            found.update((event.step, event.value) for event in events.Scalars(tag))
    return sorted(found.items())


def test_a_trial_does_not_depend_on_the_process_that_built_the_base_model(
    tmp_path: Path, poem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base()
    found = Story(tmp_path / "found", text=str(poem), steps=4)
    found.run()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built = Story(tmp_path / "built", text=str(poem), steps=4)
    built.run()
    assert built.reported == found.reported


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_it_learns_in_half_precision(poem: Path, half: torch.dtype) -> None:
    """Half precision as on a GPU; autocast and the gradient scaler support the CPU too."""
    params = Params({**PARAMS, "text": str(poem), "rank": 16, "alpha": 64, "schedule": "constant"})
    model, tokenizer = finetune_lm.load(params, "cpu")
    blocks = finetune_lm_text.to_blocks(finetune_lm_text.documents(str(poem)).training, tokenizer, 64)
    torch.manual_seed(0)
    tuning = dataclasses.replace(
        finetune_lm.Tuning.begin(finetune_lm.add_adapters(model, params), params, "cpu"),
        autocast=partial(torch.autocast, "cpu", half),
        scaler=torch.amp.GradScaler("cpu", enabled=half is torch.float16),
    )
    losses = [tuning.step(finetune_lm_text.choose(blocks, 4, step, 0))[0].item() for step in range(40)]
    assert losses[-1] < losses[0] - 0.3
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    assert "goes on" in tuning.write(blocks[0, :8], tokenizer)


def test_a_pruned_trial_stops_at_the_evaluation_that_pruned_it(tmp_path: Path, poem: Path) -> None:
    story = Story(tmp_path / "trial", text=str(poem), prune_at=4)
    with pytest.raises(sweep.TrialPruned):
        story.run()
    assert list(story.reported) == [0, 4]


# Custom models and texts


def test_a_custom_model_and_text_are_used(tmp_path: Path, poem: Path, gpt2: Path) -> None:
    story = Story(tmp_path / "trial", text=str(poem), model=str(gpt2), steps=16)
    story.run()
    assert story.reported[16] < story.reported[0]
    adapter = json.loads((tmp_path / "trial" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(gpt2)
    assert {name.split(".")[-1] for name in adapter["target_modules"]} == {"c_attn", "c_proj", "c_fc"}


def test_only_adapters_are_trained_and_each_linear_layer_except_the_output_has_one(gpt2: Path) -> None:
    for model in (str(gpt2), None):
        tuned, _ = finetune_lm.load(Params({**PARAMS, "model": model}), "cpu")
        linear = (
            sum(isinstance(module, torch.nn.Linear | finetune_lm.Conv1D) for module in tuned.modules()) - 1
        )
        adapted = finetune_lm.add_adapters(tuned, Params(PARAMS))
        names = [name for name, weights in adapted.named_parameters() if weights.requires_grad]
        assert len(names) == 2 * linear
        assert all("lora_" in name for name in names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "./nowhere"}, r"model: there is no directory ./nowhere"),
        ({"text": "nowhere.txt"}, r"text: there is no file or directory nowhere.txt"),
        ({"context": 512}, r"context is 512; the context of this model has at most 128 tokens"),
        ({"schedule": "cosin"}, r"schedule is 'cosin'; it has to be constant, linear, cosine"),
    ],
)
def test_an_invalid_parameter_is_an_error(
    tmp_path: Path, poem: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        Story(tmp_path / "trial", **{"text": str(poem), **settings}).run()
    assert "\n" not in str(raised.value)


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"model: {tmp_path}: cannot be read: "):
        finetune_lm.load(Params({**PARAMS, "model": str(tmp_path)}), "cpu")


def test_a_name_that_is_not_a_directory_is_loaded_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def absent(name: Any, **options: Any) -> Any:
        asked.append((name, options["local_files_only"]))
        raise OSError(f"{name} is not on the hub\nwith advice")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", absent)
    with pytest.raises(
        ValueError,
        match=r"model: some/model: .* cannot be loaded from the hub: some/model is not on the hub$",
    ):
        finetune_lm.load(Params({**PARAMS, "model": "some/model"}), "cpu")
    assert asked == [("some/model", False)]


# The base model


BUILDER = f"""
import sys
sys.path.insert(0, {str(OBJECTIVES)!r})
from finetune_lm_base import base_model
from sweep.trial.params import Params
print("ready", flush=True)
print(base_model(Params({BASE}), "cpu"), flush=True)
"""


SLOW = """
import time
import finetune_lm_base
finetune_lm_base.pretrain = lambda *_: time.sleep(600)
"""


def _builder(cache: Path, is_slow: bool = False) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(REPOSITORY)}
    code = BUILDER.replace("from finetune_lm_base", f"{SLOW}from finetune_lm_base") if is_slow else BUILDER
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_a_killed_builder_leaves_nothing_and_two_concurrent_builders_build_one_model(tmp_path: Path) -> None:
    killed = _builder(tmp_path, is_slow=True)
    _wait_for(lambda: list(tmp_path.glob("sweep/*.lock")))
    (lock,) = tmp_path.glob("sweep/*.lock")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    place = lock.with_suffix("")
    assert not place.exists()
    unfinished = place.with_name(f".{place.name}")
    unfinished.mkdir(exist_ok=True)
    (unfinished / "model.safetensors").write_bytes(b"half a model")

    builders = [_builder(tmp_path), _builder(tmp_path)]
    outputs = [builder.communicate(timeout=600)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sum("pre-trained the base model" in text for text in outputs) == 1
    assert {text.splitlines()[-1] for text in outputs} == {str(place)}
    assert {file.name for file in (tmp_path / "sweep").iterdir()} <= {place.name, lock.name}
    transformers.AutoModelForCausalLM.from_pretrained(place)


def _wait_for(seen: Any) -> None:
    until = time.monotonic() + 300
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.01)


# The sweep


def test_its_sweep_runs_and_its_trials_print_nothing(
    project: Path, ray_cluster: None, cache: Path, poem: Path
) -> None:
    base()
    settings = {"text": str(poem), "steps": 6, "eval_every": 3, "context": 64, "batch_size": 4}
    result = sweep.run(
        REPOSITORY / "search_spaces" / "finetune_lm.yaml",
        overrides={
            "objective": f"{OBJECTIVES}/finetune_lm.py:train",
            **{f"parameters.{name}": value for name, value in settings.items()},
            **{f"parameters.base.parameters.{name}": value for name, value in BASE.items()},
            "env": {"XDG_CACHE_HOME": str(cache), "TOKENIZERS_PARALLELISM": "false"},
            "stop.trials": 2,
        },
    )
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 2
    assert result.trials[0].params["lr"] == 2e-4, "the first trial has the defaults"
    for trial in result.trials:
        assert {"val/perplexity", "val/loss", "train/loss", "best/val/perplexity"} <= trial.metrics.keys()
        assert (trial.directory / "output.log").read_text() == ""


class Story:
    """A trial that is interrupted after the checkpoint of a step, or pruned there."""

    def __init__(
        self, directory: Path, stop_at: int | None = None, prune_at: int | None = None, **settings: Any
    ) -> None:
        self.reported: dict[int, float] = {}
        self.stop_at = stop_at
        self._prune_at = prune_at
        self._directory = directory
        self._params = {**PARAMS, **settings}
        self._attempt = 0

    def run(self) -> None:
        self._attempt += 1
        session = Session({}, "demo/t0000", 0.0)
        found = find_checkpoints(self._directory / "checkpoint")
        step = found[-1].step if found else None
        run = RunLogger(self._directory, session, "val/perplexity", False, step)
        assignment = Assignment(0, self._attempt, self._params, session, 1)
        trial = sweep.Trial(assignment, self._directory, "val/perplexity", run, self, "cpu")
        try:
            finetune_lm.train(trial)
        finally:
            run.finish()

    def report(self, report: Report) -> None:
        assert report.step not in self.reported, "a step was repeated"
        self.reported[report.step] = report.value

    def should_prune(self) -> bool:
        return max(self.reported) == self._prune_at

    def must_end(self) -> bool:
        return max(self.reported) == self.stop_at
