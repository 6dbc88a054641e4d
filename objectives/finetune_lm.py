"""A causal language model is fine-tuned with LoRA adapters; the metric is its perplexity on held-out text.

Model: whatever the parameter `model` names for transformers, a folder or a model on the hub. Without one it is a
small Llama, pre-trained on the docstrings of Python's standard library. The first trial on a machine builds it, in
about a minute on one core, in ~/.cache/sweep (or $XDG_CACHE_HOME/sweep); all others wait for it and share it.

Text: the file or folder that the parameter `text` names, else the code of the standard library without its
docstrings. A tenth of the documents is held out; modules whose code is held out were not pre-trained on either.

Nothing is asked of the network unless `model` is the name of one on the hub.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import random
import shutil
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from filelock import FileLock
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from transformers.pytorch_utils import Conv1D

import sweep

HELD_OUT = 0.1
SPLIT_SEED = 0  # the same split for all trials: they are compared on the same text
LOG_EVERY = 5
END = "<|end|>"
VOCABULARY = 1024
CONTEXT = 128  # tokens that the base model can see
PRETRAINING_CHARACTERS = 1_500_000
PEAK_LR = 3e-3
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine_with_min_lr"}

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # what peft still calls


def train(trial: sweep.Trial) -> None:
    """Fine-tune one model and report its perplexity every `eval_every` steps, from step 0 on."""
    params = trial.params
    model, tokenizer = load(params, trial.device)
    context = min(params.context, getattr(model.config, "max_position_embeddings", None) or params.context)
    text = Text(*(to_blocks(part, tokenizer, context) for part in documents(params.get("text"))))
    torch.manual_seed(trial.seed)  # the adapters begin alike whatever has been done in this process so far
    tuning = Tuning.begin(add_adapters(model, params), params, trial.device)

    step = tuning.restore(trial)
    if step is None:
        step = 0
        evaluate(trial, tuning, tokenizer, text.held_out, step)
    losses: list[Tensor] = []
    while step < params.steps:
        batch = choose(text.training, params.batch_size, step, trial.seed)
        loss, norm = tuning.step(batch.to(trial.device))
        losses.append(loss)
        step += 1
        due = step % params.eval_every == 0 or step == params.steps
        if due or step % LOG_EVERY == 0:
            mean, rate = torch.stack(losses).mean(), tuning.scheduler.get_last_lr()[0]
            trial.log({"train/loss": mean, "train/lr": rate, "train/grad_norm": norm}, step)
            losses.clear()
        if due:
            evaluate(trial, tuning, tokenizer, text.held_out, step)
    tuning.model.save_pretrained(trial.directory / "adapter", save_embedding_layers=False)


def evaluate(
    trial: sweep.Trial,
    tuning: Tuning,
    tokenizer: transformers.PreTrainedTokenizerBase,
    held_out: Tensor,
    step: int,
) -> None:
    """Report the perplexity, show what the model writes, then save all that the next step depends on."""
    loss = tuning.loss(held_out, trial.params.batch_size)
    trial.log({"val/loss": loss}, step)
    trial.report(math.exp(loss) if loss < 700 else math.inf, step)
    prompt = held_out[0, : held_out.shape[1] // 4]
    trial.writer.add_text("sample", tuning.write(prompt, tokenizer), step)
    if trial.should_prune():
        raise sweep.TrialPruned
    tuning.save(trial, step)


@dataclass(frozen=True)
class Tuning:
    """A model with adapters, and all else that its training changes."""

    model: PeftModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler  # does nothing except for float16
    autocast: Callable[[], AbstractContextManager[Any]]
    device: str
    clip: float

    @classmethod
    def begin(cls, model: PeftModel, params: sweep.trial.Params, device: str) -> Tuning:
        adapters = [weights for weights in model.parameters() if weights.requires_grad]
        optimizer = torch.optim.AdamW(adapters, lr=params.lr, weight_decay=params.weight_decay)
        half = torch.float16 if device == "cuda" and not torch.cuda.is_bf16_supported() else torch.bfloat16
        return cls(
            model,
            optimizer,
            make_scheduler(optimizer, params),
            torch.amp.GradScaler(device, enabled=half is torch.float16),
            partial(torch.autocast, device, half, enabled=device == "cuda"),
            device,
            params.clip,
        )

    def step(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; returns the loss, and the gradient's norm before it was clipped."""
        self.model.train()
        with self.autocast():
            loss = self.model(input_ids=batch, labels=batch).loss
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return loss.detach(), norm

    @torch.no_grad()
    def loss(self, blocks: Tensor, batch_size: int) -> float:
        """The mean loss of a token."""
        self.model.eval()
        total = 0.0
        for batch in blocks.to(self.device).split(batch_size):
            with self.autocast():
                total += self.model(input_ids=batch, labels=batch).loss.item() * len(batch)
        return total / len(blocks)

    @torch.no_grad()
    def write(self, prompt: Tensor, tokenizer: transformers.PreTrainedTokenizerBase) -> str:
        """The prompt and what the model makes of it, for TensorBoard; always drawn with the same numbers."""
        self.model.eval()
        batch = prompt.unsqueeze(0).to(self.device)
        with torch.random.fork_rng(), self.autocast():
            torch.manual_seed(0)
            written = self.model.generate(
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                max_new_tokens=len(prompt),
                do_sample=True,
                pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
            )[0, len(prompt) :]
        parts = [tokenizer.decode(tokens).replace("```", "'''") for tokens in (prompt, written)]
        return "```\n{}\n```\ngoes on:\n```\n{}\n```".format(*parts)

    def save(self, trial: sweep.Trial, step: int) -> None:
        """Save a checkpoint. What the text's next batch is follows from the step."""
        with trial.checkpoint.save(step) as path:
            state = {
                "adapters": get_peft_model_state_dict(self.model, save_embedding_layers=False),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": torch.get_rng_state(),
                "random_cuda": torch.cuda.get_rng_state() if self.device == "cuda" else None,
            }
            torch.save(state, path / "state.pt")

    def restore(self, trial: sweep.Trial) -> int | None:
        """Go on from the newest checkpoint, if there is one; returns its step."""
        found = trial.checkpoint.latest()
        if found is None:
            return None
        state = torch.load(found.path / "state.pt", map_location="cpu", weights_only=True)
        set_peft_model_state_dict(self.model, state["adapters"])
        for part in ("optimizer", "scheduler", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        torch.set_rng_state(state["random"])
        if self.device == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"])
        print(f"goes on from the checkpoint after step {found.step}", flush=True)
        return found.step


def make_scheduler(
    optimizer: torch.optim.Optimizer, params: sweep.trial.Params
) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up during a share of the steps, then constant, linear to 0, or a cosine down to a share `floor`."""
    if params.schedule not in SCHEDULES:
        raise ValueError(f"schedule is {params.schedule!r}; it has to be {', '.join(SCHEDULES)}")
    return transformers.get_scheduler(
        SCHEDULES[params.schedule],
        optimizer,
        num_warmup_steps=round(params.warmup * params.steps),
        num_training_steps=params.steps,
        scheduler_specific_kwargs={"min_lr_rate": params.floor} if params.schedule == "cosine" else None,
    )


def add_adapters(model: transformers.PreTrainedModel, params: sweep.trial.Params) -> PeftModel:
    """LoRA on all linear layers but the output's, GPT-2's Conv1D among them."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    return get_peft_model(model, config)


def load(
    params: sweep.trial.Params, device: str
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """The model to fine-tune, and its tokenizer."""
    name = params.get("model")
    if name is None:
        name = base_model(params.base, device)
    elif (folder := Path(name).expanduser()).is_dir():
        name = folder
    elif folder.exists() or str(name).startswith((".", "/", "~")):
        raise FileNotFoundError(f"model: there is no folder {name} with a model as save_pretrained writes it")
    local = isinstance(name, Path)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            name, local_files_only=local, dtype="auto" if device == "cuda" else torch.float32
        )
    except (OSError, ValueError) as error:
        what = "there is no such folder, and from the hub it cannot be had" if not local else "cannot be read"
        raise ValueError(f"model: {name}: {what}: {str(error).strip().splitlines()[0]}") from error
    return model.to(device), tokenizer


# Text


class Text(NamedTuple):
    """What is trained on, and what is not: documents, or blocks of tokens."""

    training: Any
    held_out: Any


def split(documents: Iterable[str]) -> Text:
    """Hold out a tenth of the documents, at least one."""
    kept = list(dict.fromkeys(documents))  # one that is there twice would be on both sides
    random.Random(SPLIT_SEED).shuffle(kept)
    count = max(1, round(HELD_OUT * len(kept)))
    return Text(kept[count:], kept[:count])


@lru_cache(maxsize=1)
def documents(text: str | None) -> Text:
    """Documents to fine-tune on; read once per process.

    Args:
        text: a folder (each file in it is a document, hidden ones are left out), a .jsonl file (a document is a
            line's "text"), any other file (its last tenth is held out), or None for the standard library's code.
    """
    if text is None:
        training, held_out = library()
        return Text(take(map(code, training), 600_000), take(map(code, held_out), 40_000))
    path = Path(text).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("[!.]*") if file.is_file())
        found = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    elif path.suffix == ".jsonl" and path.is_file():
        with path.open(encoding="utf-8") as lines:
            found = [json.loads(line)["text"] for line in lines if line.strip()]
    elif path.is_file():
        whole = path.read_text(encoding="utf-8", errors="replace")
        cut = round((1 - HELD_OUT) * len(whole))
        return Text([whole[:cut]], [whole[cut:]])
    else:
        raise FileNotFoundError(f"text: there is no file or folder {text}")
    if len(set(found)) < 2:
        raise ValueError(
            f"text: {text} has {len(set(found))} documents; one to train on and one to hold out are needed"
        )
    return split(found)


@lru_cache(maxsize=1)
def library() -> Text:
    """The sources of Python's standard library, without tests and tables."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "encodings",
        "pydoc_data",
    }
    files = sorted(file for file in root.rglob("*.py") if not left_out & set(file.relative_to(root).parts))
    return split(file.read_text(encoding="utf-8", errors="replace") for file in files)


def documented(tree: ast.Module) -> list[tuple[Any, str]]:
    """Whatever has a docstring, with that."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node, text) for node in nodes if (text := ast.get_docstring(node))]


def docstrings(source: str) -> str:
    return "\n\n".join(text for _, text in documented(ast.parse(source)))


def code(source: str) -> str:
    """A module without docstrings and comments."""
    tree = ast.parse(source)
    for node, _ in documented(tree):
        node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def take(texts: Iterable[str], characters: int) -> list[str]:
    """The first ones that are not empty, until there are so many characters; the last one is cut."""
    taken: list[str] = []
    for text in filter(None, texts):
        taken.append(text[:characters])
        characters -= len(text)
        if characters <= 0:
            break
    return taken


def to_blocks(documents: list[str], tokenizer: transformers.PreTrainedTokenizerBase, length: int) -> Tensor:
    """All documents one after the other as tokens (N, length); what does not fill a block is left out."""
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    tokens: list[int] = []
    for encoded in tokenizer(documents, add_special_tokens=False)["input_ids"]:
        tokens += encoded + end
    if len(tokens) < length:
        raise ValueError(
            f"text: there are {len(tokens)} tokens to train on or to hold out, less than {length} (context)"
        )
    return torch.tensor(tokens[: len(tokens) // length * length]).view(-1, length)


def choose(blocks: Tensor, size: int, step: int, seed: int) -> Tensor:
    """The batch of a step, counted from 0. Every epoch has an order of its own, which only the seed decides."""
    size = min(size, len(blocks))
    epoch, index = divmod(step, len(blocks) // size)
    return blocks[shuffled(len(blocks), seed + epoch)[index * size : (index + 1) * size]]


@lru_cache(maxsize=1)
def shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


# The model that is there without a network


def base_model(params: sweep.trial.Params, device: str) -> Path:
    """The folder of the base model, which is built if it is not there: by one process, the others wait.

    Args:
        params: width, layers and steps; every combination is a model of its own.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep"
    cache.mkdir(parents=True, exist_ok=True)
    recipe = {**params, "python": sys.version_info[:3], "version": 1}  # the text is that Python's library
    place = cache / f"library-lm-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"
    if place.is_dir():
        return place
    with FileLock(f"{place}.lock"):  # the system releases it if its holder is killed
        if not place.is_dir():
            unfinished = cache / f".{place.name}"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a builder that was killed
            with torch.random.fork_rng():
                torch.manual_seed(0)
                pretrain(params, device, unfinished)
            for file in unfinished.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            unfinished.rename(place)
    return place


def pretrain(params: sweep.trial.Params, device: str, folder: Path) -> None:
    """Train a small Llama, and a byte-level BPE for it, on the docstrings of the standard library."""
    start = time.monotonic()
    text = take(map(docstrings, library().training), PRETRAINING_CHARACTERS)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(text, vocab_size=VOCABULARY, special_tokens=[END], show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token=END, pad_token=END
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.width,
        intermediate_size=3 * params.width,
        num_hidden_layers=params.layers,
        num_attention_heads=params.width // 32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.LlamaForCausalLM(config).to(device)
    blocks = to_blocks(text, tokenizer, CONTEXT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=0.1, betas=(0.9, 0.95))
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, params.steps // 10, params.steps)
    for step in range(params.steps):
        batch = choose(blocks, 8, step, seed=0).to(device)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    seconds = time.monotonic() - start
    print(f"pre-trained the base model in {seconds:.0f} s: loss {loss.item():.2f}", flush=True)
