"""Scripts written for W&B, with its real package: no network, no account, not one changed line."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep

pytest.importorskip("wandb")

LOG = 'wandb.log({"val_loss": wandb.config.lr / (i + 1)})'
STYLES = {
    "config as attributes": f"""
        wandb.init(project="p", entity="nobody")
        for i in range(3):
            {LOG}
    """,
    "defaults that the sweep overrides": """
        run = wandb.init(config={"lr": 99, "epochs": 3})
        assert wandb.config["lr"] == run.config.lr == wandb.config.get("lr") == dict(wandb.config)["lr"] < 1
        for i in range(wandb.config.epochs):
            run.log({"val_loss": run.config["lr"] / (i + 1)}, step=i * 10)
        run.finish()
    """,
    "arguments": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float)
        parser.add_argument("--kind")
        args = parser.parse_args()
        wandb.init(config=args)
        assert wandb.config.lr == args.lr
        for i in range(3):
            wandb.log({"val_loss": args.lr / (i + 1)})
    """,
    "media, defined metrics, several calls per step": """
        with wandb.init() as run:
            wandb.define_metric("epoch")
            wandb.define_metric("val_loss", step_metric="epoch", summary="min")
            for i in range(3):
                wandb.log({"train": {"loss": 1.0}}, commit=False)
                wandb.log({"epoch": i, "val_loss": run.config.lr / (i + 1), "words": wandb.Html("<b>x</b>")})
    """,
    "summary": """
        wandb.init()
        wandb.run.summary["val_loss"] = wandb.config.lr / 3
    """,
    "summary that says better": """
        run = wandb.init()
        for i in range(3):
            run.log({"val_loss": 5.0 + i})
        run.summary["val_loss"] = run.config.lr / 3
        run.finish()
    """,
    "a directory of its own": f"""
        wandb.init(dir=".")
        for i in range(3):
            {LOG}
    """,
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever asks for something over the network fails."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("code", STYLES.values(), ids=STYLES)
def test_it_runs_under_a_wandb_sweep_file(project: Path, code: str) -> None:
    (project / "train.py").write_text("import wandb\n" + textwrap.dedent(code))
    spec: dict[str, Any] = {
        "program": "train.py",
        "method": "random",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"lr": {"min": 0.1, "max": 0.9}, "kind": {"values": ["x"]}},
        "run_cap": 1,
    }
    (project / "demo.yaml").write_text(yaml.safe_dump(spec))
    (trial,) = sweep.run(project / "demo.yaml", inline=True).trials
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == pytest.approx(trial.params["lr"] / 3)
