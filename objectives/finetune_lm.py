"""Fine-tune a causal language model with LoRA adapters; the metric is its perplexity on held-out text.

The parameter `model` is a directory or the name of a model on the Hugging Face hub; by default a small model
is built (finetune_lm_base.py). The parameter `text` is a directory or a file; by default it is the source
code of Python's standard library (finetune_lm_text.py).

The network is used only if `model` is the name of a model on the hub.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from finetune_lm_base import base_model
from finetune_lm_text import Text, choose, documents, to_blocks
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers.pytorch_utils import Conv1D

import sweep

LOG_EVERY = 5
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine_with_min_lr"}

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings(
    "ignore", category=FutureWarning, module="transformers"
)  # peft uses deprecated functions


def train(trial: sweep.Trial) -> None:
    """Fine-tune one model and report its perplexity every `eval_every` steps, from step 0 on."""
    params = trial.params
    model, tokenizer = load(params, trial.device)
    text = Text(*(to_blocks(part, tokenizer, params.context) for part in documents(params.get("text"))))
    torch.manual_seed(trial.seed)  # the initial adapters do not depend on earlier trials in this process
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
    """Report the perplexity, log generated text, then save everything that the next step depends on."""
    loss = tuning.loss(held_out, trial.params.batch_size)
    trial.log({"val/loss": loss}, step)
    trial.report(math.exp(min(loss, 700.0)), step)  # NaN stays NaN: the trial fails
    prompt = held_out[0, : held_out.shape[1] // 4]
    trial.writer.add_text("sample", tuning.write(prompt, tokenizer), step)
    if trial.should_prune():
        raise sweep.TrialPruned
    tuning.save(trial, step)


@dataclass(frozen=True)
class Tuning:
    """A model with adapters, and the other state of its training."""

    model: PeftModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler  # has an effect for float16 only
    autocast: Callable[[], AbstractContextManager[Any]]
    device: str
    clip: float

    @classmethod
    def begin(cls, model: PeftModel, params: sweep.Params, device: str) -> Tuning:
        adapters = [weights for weights in model.parameters() if weights.requires_grad]
        optimizer = torch.optim.AdamW(adapters, lr=params.lr, weight_decay=params.weight_decay)
        half = (
            torch.float16
            if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.bfloat16
        )
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
        """Take one optimizer step; returns the loss, and the norm of the gradient before clipping."""
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
        """The mean loss per token."""
        self.model.eval()
        total = 0.0
        for batch in blocks.to(self.device).split(batch_size):
            with self.autocast():
                total += self.model(input_ids=batch, labels=batch).loss.item() * len(batch)
        return total / len(blocks)

    @torch.no_grad()
    def write(self, prompt: Tensor, tokenizer: transformers.PreTrainedTokenizerBase) -> str:
        """The prompt and its continuation by the model, always sampled with the same seed."""
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
        """Save a checkpoint. The next batch depends on the step only."""
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
        """Resume from the latest checkpoint, if there is one; returns its step."""
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
        print(f"resumes from the checkpoint after step {found.step}", flush=True)
        return found.step


def make_scheduler(
    optimizer: torch.optim.Optimizer, params: sweep.Params
) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up for a share of the steps, then constant, linear to 0, or a cosine down to the share `floor`."""
    if params.schedule not in SCHEDULES:
        raise ValueError(f"schedule is {params.schedule!r}; it has to be {', '.join(SCHEDULES)}")
    return transformers.get_scheduler(
        SCHEDULES[params.schedule],
        optimizer,
        num_warmup_steps=round(params.warmup * params.steps),
        num_training_steps=params.steps,
        scheduler_specific_kwargs={"min_lr_rate": params.floor} if params.schedule == "cosine" else None,
    )


def add_adapters(model: transformers.PreTrainedModel, params: sweep.Params) -> PeftModel:
    """Add LoRA adapters to all linear layers except the output, including GPT-2's Conv1D."""
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
    params: sweep.Params, device: str
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """Load the model to fine-tune and its tokenizer."""
    name = params.get("model")
    if name is None:
        name = base_model(params.base, device)
    elif (folder := Path(name).expanduser()).is_dir():
        name = folder
    elif folder.exists() or str(name).startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"model: there is no directory {name} with a model as save_pretrained writes it"
        )
    local = isinstance(name, Path)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            name, local_files_only=local, dtype="auto" if device == "cuda" else torch.float32
        )
    except (OSError, ValueError) as error:
        what = (
            "there is no such directory, and it cannot be loaded from the hub"
            if not local
            else "cannot be read"
        )
        raise ValueError(f"model: {name}: {what}: {str(error).strip().splitlines()[0]}") from error
    longest = getattr(model.config, "max_position_embeddings", None) or params.context
    if params.context > longest:
        raise ValueError(
            f"context is {params.context}; the context of this model has at most {longest} tokens"
        )
    return model.to(device), tokenizer
