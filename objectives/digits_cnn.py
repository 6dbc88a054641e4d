"""A small convolutional network that classifies handwritten digits.

Data: scikit-learn's 1,797 digits (8x8, scaled to 28x28), or MNIST if the parameter `data_dir` names a
directory with its IDX files. A fifth of the training images, stratified by digit, is used for validation.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import sweep

VALIDATION = 0.2
SPLIT_SEED = 0  # the same split for all trials, so that they are compared on the same digits
SHOWN = 16


class Digits(NamedTuple):
    """Images (N, 1, 28, 28) from 0 to 1, and their labels (N,)."""

    images: Tensor
    labels: Tensor

    def to(self, device: str) -> Digits:
        return Digits(self.images.to(device), self.labels.to(device))

    def __getitem__(self, index: Tensor) -> Digits:  # type: ignore[override]
        return Digits(self.images[index], self.labels[index])


class Net(nn.Module):
    """Two convolutions with max-pooling and two linear layers; returns log-probabilities (N, 10)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        x = functional.relu(self.fc1(x.flatten(1)))
        return functional.log_softmax(self.fc2(self.dropout(x)), dim=1)


def train(trial: sweep.Trial) -> None:
    """Train one network and report its accuracy on the validation digits after each epoch."""
    params = trial.params
    training, validation = (part.to(trial.device) for part in load(params.get("data_dir")))
    model = Net(params.dropout).to(trial.device)
    optimizer = make_optimizer(model, params)
    for epoch in range(restore(trial, model, optimizer), params.epochs):
        train_loss = train_epoch(model, optimizer, training, params.batch_size)
        val_loss, predicted = evaluate(model, validation)
        accuracy = (predicted == validation.labels).float().mean().item()
        trial.log({"val/accuracy": accuracy, "val/loss": val_loss, "train/loss": train_loss}, step=epoch)
        if trial.should_prune():
            show(trial, model, validation, predicted, epoch)
            raise sweep.TrialPruned
        save(trial, model, optimizer, epoch)
    show(trial, model, validation, evaluate(model, validation)[1], params.epochs - 1)


def save(trial: sweep.Trial, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Save everything that the next epoch depends on."""
    with trial.checkpoint.save(epoch) as path:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        if trial.device == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state()
        torch.save(state, path / "state.pt")


def restore(trial: sweep.Trial, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Resume from the latest checkpoint, if there is one; returns the first epoch to train."""
    found = trial.checkpoint.latest()
    if found is None:
        return 0
    state = torch.load(found.path / "state.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if trial.device == "cuda" and "random_cuda" in state:
        torch.cuda.set_rng_state(state["random_cuda"])
    return found.step + 1


def make_optimizer(model: nn.Module, params: sweep.Params) -> torch.optim.Optimizer:
    if params.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=params.lr, momentum=params.momentum, weight_decay=params.weight_decay
        )
    if params.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=params.lr, weight_decay=params.weight_decay)
    raise ValueError(f"optimizer is {params.optimizer!r}; it has to be sgd or adamw")


def train_epoch(model: Net, optimizer: torch.optim.Optimizer, digits: Digits, batch_size: int) -> float:
    """Train on all digits once, in random order; returns the mean loss."""
    model.train()
    total = 0.0
    order = torch.randperm(len(digits.labels)).to(digits.labels.device)
    for batch in order.split(batch_size):
        images, labels = digits[batch]
        optimizer.zero_grad()
        loss = functional.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(digits.labels)


@torch.no_grad()
def evaluate(model: Net, digits: Digits) -> tuple[float, Tensor]:
    """The mean loss, and the predicted digit of each image (N,)."""
    model.eval()
    outputs = torch.cat([model(images) for images in digits.images.split(1000)])
    return functional.nll_loss(outputs, digits.labels).item(), outputs.argmax(dim=1)


def show(trial: sweep.Trial, model: Net, digits: Digits, predicted: Tensor, epoch: int) -> None:
    """Log misclassified digits and histograms of the weights to TensorBoard."""
    wrong = (predicted != digits.labels).nonzero().flatten()[:SHOWN]
    if len(wrong):
        framed = functional.pad(digits.images[wrong].cpu(), (1, 1, 1, 1), value=0.5)
        trial.writer.add_images("misread", framed, epoch)
        pairs = zip(digits.labels[wrong].tolist(), predicted[wrong].tolist(), strict=True)
        rows = [f"| {label} | {read} |" for label, read in pairs]
        trial.writer.add_text("misread", "\n".join(["| digit | read as |", "|---|---|", *rows]), epoch)
    for name, weights in model.named_parameters():
        trial.writer.add_histogram(f"weights/{name}", weights.detach().cpu(), epoch)


@lru_cache(maxsize=1)
def load(data_dir: str | None) -> tuple[Digits, Digits]:
    """Training and validation digits, loaded once per process."""
    images, labels = read_mnist(Path(data_dir)) if data_dir else read_sklearn()
    validation = stratified(labels, VALIDATION)
    digits = Digits(images, labels)
    return digits[~validation], digits[validation]


def read_sklearn() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits, scaled from 8x8 to 28x28."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    scaled = functional.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    return scaled, torch.tensor(data.target, dtype=torch.int64)


def read_mnist(folder: Path) -> tuple[Tensor, Tensor]:
    """MNIST's training digits; its test digits are not used."""
    images = read_idx(folder, "train-images-idx3-ubyte").astype(np.float32) / 255
    labels = read_idx(folder, "train-labels-idx1-ubyte").astype(np.int64)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


def read_idx(folder: Path, name: str) -> np.ndarray:
    """An IDX file of bytes, gzipped or not (http://yann.lecun.com/exdb/mnist describes the format)."""
    for path, opener in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
        if path.is_file():
            with opener(path, "rb") as file:
                content = file.read()
            break
    else:
        raise FileNotFoundError(f"data_dir: there is no {name} or {name}.gz in {folder}")
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of bytes")
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape.tolist())


def stratified(labels: Tensor, share: float) -> Tensor:
    """A mask (N,) with a random `share` of the images of each digit."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for digit in labels.unique():
        members = (labels == digit).nonzero().flatten()
        chosen = torch.randperm(len(members), generator=generator)[: round(share * len(members))]
        mask[members[chosen]] = True
    return mask
