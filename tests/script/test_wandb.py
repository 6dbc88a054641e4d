"""Scripts written for W&B run unchanged with its real package, without network and account."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep.analysis.view import TrialRow
from sweep.script.run import STARTUP
from sweep.script.wandb_offline import write_parameters

pytestmark = pytest.mark.process


pytest.importorskip("wandb")

OUTPUT = "runs/demo/trial-0000/output.log"
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
    "summary that differs from what was logged": """
        run = wandb.init()
        for i in range(3):
            run.log({"val_loss": 5.0 + i})
        run.summary["val_loss"] = run.config.lr / 3
        run.finish()
    """,
    "another directory": f"""
        wandb.init(dir=".")
        for i in range(3):
            {LOG}
    """,
}


ONLINE = {
    "init": "wandb.init(mode='online')",
    "settings": "wandb.init(settings=wandb.Settings(mode='online'))",
    "settings as a mapping": "wandb.init(settings={'mode': 'shared'})",
    "setup and login": "wandb.setup(wandb.Settings(mode='online')); wandb.login(); wandb.init()",
    "environment": "import os; os.environ['WANDB_MODE'] = 'online'; wandb.init()",
}


CHILD = """
    import os
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    import wandb
    with wandb.init(project="p", mode="online") as run:
        run.log({"val_loss": 1.0})
"""
WITHOUT_VARIABLES = {
    "in the script itself": "import child",
    "in a child process with another environment": """
        import os, subprocess, sys
        subprocess.run([sys.executable, "child.py"], env={"HOME": os.environ["HOME"]}, check=True)
    """,
    "after the environment was cleared": """
        import multiprocessing, os, sys
        home = os.environ["HOME"]
        os.environ.clear()
        os.environ["HOME"] = home
        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=__import__, args=["child"])
            process.start()
            process.join()
            assert process.exitcode == 0
    """,
    "in a process that replaces the script": """
        import os, sys
        os.execve(sys.executable, [sys.executable, "child.py"], {"HOME": os.environ["HOME"]})
    """,
}


def run_one(project: Path, code: str, imports: str = "import wandb\n", **others: Any) -> TrialRow:
    (project / "train.py").write_text(imports + textwrap.dedent(code))
    spec: dict[str, Any] = {
        "program": "train.py",
        "method": "random",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"lr": {"min": 0.1, "max": 0.9}, "kind": {"values": ["x"]}},
        "run_cap": 1,
        **others,
    }
    (project / "demo.yaml").write_text(yaml.safe_dump(spec))
    (trial,) = sweep.run(project / "demo.yaml", inline=True).trials
    return trial


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The requests that W&B's package sends to a server for which it has an API key."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.send_error(401)

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = tmp_path / ".config" / "wandb" / "settings"  # for a script that removes the variables
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[default]\nbase_url = {url}\n")
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login user password {'0' * 40}\n")
    (tmp_path / ".netrc").chmod(0o600)
    yield seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every access to the network fails."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("code", STYLES.values(), ids=STYLES)
def test_a_script_runs_with_a_wandb_sweep_file(project: Path, code: str) -> None:
    trial = run_one(project, code)
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == pytest.approx(trial.params["lr"] / 3)


def test_an_agent_calls_its_function_once_and_sends_nothing(project: Path, requests: list[str]) -> None:
    code = """
        def train():
            with wandb.init(project="p") as run:
                print("called")
                run.log({"val_loss": run.config.lr / 3})

        sweep_id = wandb.sweep({"method": "random", "parameters": {"lr": {"values": [7]}}}, project="p")
        wandb.agent(sweep_id, function=train, count=20)
    """
    trial = run_one(project, code)
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == pytest.approx(trial.params["lr"] / 3)
    assert (project / OUTPUT).read_text().count("called") == 1
    assert not requests


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("logged", "end", "outcome"),
    [
        ("0.5", "float('nan')", (None, "the metric is NaN")),
        ("float('nan')", "0.5", (0.5, None)),
    ],
)
def test_a_value_that_is_set_in_the_summary_counts_also_if_it_or_the_logged_one_is_nan(
    project: Path, logged: str, end: str, outcome: tuple[float | None, str | None]
) -> None:
    code = f"""
        with wandb.init() as run:
            run.log({{"val_loss": {logged}}})
            run.summary["val_loss"] = {end}
            run.summary["note"] = None
    """
    trial = run_one(project, code)
    assert (trial.value, trial.reason) == outcome
    assert "note" not in trial.metrics


def test_mappings_in_the_summary_have_dotted_names_and_media_are_left_out(project: Path) -> None:
    code = """
        with wandb.init() as run:
            run.define_metric("val_loss", summary="min,max")
            for loss in (3.0, 1.0, 2.0):
                run.log({"val_loss": loss, "page": wandb.Html("<b>x</b>"), "nested": {"a": {"b": loss}}})
            run.summary["gone"] = 1
            run.summary["test"] = {"acc": 0.9, "deep": {"er": 4, "half \\ud800": 5}}
            run.summary["page by hand"] = wandb.Html("<i>x</i>")
            run.summary["kept"] = 2
            del run.summary["gone"]
    """
    trial = run_one(project, code, metric={"name": "val_loss.min", "goal": "minimize"})
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == 1.0
    assert trial.metrics == {
        "val_loss": 2.0,
        "val_loss.min": 1.0,
        "val_loss.max": 3.0,
        "best/val_loss.min": 1.0,
        "nested.a.b": 2.0,
        "test.acc": 0.9,
        "test.deep.er": 4.0,
        "test.deep.half ?": 5.0,
        "kept": 2.0,
    }


@pytest.mark.parametrize("begin", ONLINE.values(), ids=ONLINE)
def test_nothing_is_sent_even_if_the_script_sets_mode_online(
    project: Path, requests: list[str], begin: str
) -> None:
    trial = run_one(project, f"{begin}\nwandb.log({{'val_loss': wandb.config.lr}})")
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == pytest.approx(trial.params["lr"])
    assert "sweep: wandb stays offline" in (project / OUTPUT).read_text()
    assert not requests


@pytest.mark.parametrize("code", WITHOUT_VARIABLES.values(), ids=WITHOUT_VARIABLES)
def test_nothing_is_sent_without_the_variables_of_the_sweep(
    project: Path, requests: list[str], code: str
) -> None:
    (project / "child.py").write_text(textwrap.dedent(CHILD))
    trial = run_one(project, code, imports="")
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == 1.0
    assert not requests


def test_what_needs_the_server_is_an_error_that_says_what_to_do(project: Path, requests: list[str]) -> None:
    code = """
        import subprocess
        with wandb.init() as run:
            run.log({"val_loss": 1.0})
        found = subprocess.run(["wandb", "sync", run.dir + "/.."], stderr=subprocess.PIPE, text=True)
        assert "a sweep keeps wandb offline, and logging in needs its server" in found.stderr, found
        wandb.login(key="1" * 40, host="https://api.wandb.ai", relogin=True)
        wandb.Api(overrides={"base_url": "https://api.wandb.ai"})
    """
    trial = run_one(project, code)
    assert str(trial.reason).endswith("or write env: {WANDB_MODE: online} in the sweep file")
    assert not requests


def test_the_sweep_files_env_sends_to_the_server(project: Path, requests: list[str]) -> None:
    run_one(project, "wandb.Api()", env={"WANDB_MODE": "online"})
    assert requests


def test_a_child_process_keeps_its_environment_except_for_the_sweeps_variables(project: Path) -> None:
    code = """
        import os, subprocess, sys
        show = "import os; print(sorted(os.environ), os.environ['PYTHONPATH'].split(os.pathsep)[1:])"
        for env in ({"A": "1", "PYTHONPATH": "mine"}, {b"A": b"1", b"PYTHONPATH": b"mine"}):
            out = subprocess.check_output([sys.executable, "-c", show], env=env, text=True)
            names = "['A', 'LC_CTYPE', 'PYTHONPATH', 'SWEEP_REPORTS', 'SWEEP_TRIAL_DIR', 'SWEEP_WANDB_MODE']"
            assert out == f"{names} ['mine']\\n", out
        os.environ["PYTHONPATH"] = "mine"
        assert subprocess.check_output([sys.executable, "-c", show], text=True).endswith(" ['mine']\\n")
        print('{"val_loss": 1}')
    """
    trial = run_one(project, code, imports="")
    assert trial.state == "COMPLETE", trial.reason


def test_a_run_that_the_script_disables_stays_disabled(project: Path) -> None:
    trial = run_one(project, "assert wandb.init(mode='disabled').disabled; print('{\"val_loss\": 1}')")
    assert trial.state == "COMPLETE", trial.reason
    assert "sweep:" not in (project / OUTPUT).read_text()


def test_wandb_mode_in_the_sweep_files_env_takes_precedence(project: Path) -> None:
    code = "assert wandb.Settings(mode='online').mode == 'online'; print('{\"val_loss\": 1}')"
    trial = run_one(project, code, env={"WANDB_MODE": "online"})
    assert trial.state == "COMPLETE", trial.reason


@pytest.mark.parametrize(("repeats", "end"), [(None, ""), ([3], "-seed-3")], ids=["one run", "repeats"])
def test_a_run_has_the_names_of_the_sweep_the_trial_and_the_repeat(
    project: Path, repeats: list[int] | None, end: str
) -> None:
    code = f"""
        import os
        assert os.environ["WANDB_SWEEP_ID"] == "demo"
        assert os.environ["WANDB_NAME"] == "demo-0000{end}"
        assert os.environ["WANDB_RUN_ID"].startswith("demo-0000{end}-")
        wandb.init()
        wandb.log({{"val_loss": 1.0}})
    """
    trial = run_one(project, code, **({} if repeats is None else {"repeats": {"seeds": repeats}}))
    assert trial.state == "COMPLETE", trial.reason


STEPS = {
    "another metric": (
        """
        run.define_metric("train/step")
        run.define_metric("*", step_metric="train/step")
        for step in 4, 8, 12, 16:
            run.log({"val_loss": 1 / step, "train/step": step})
            run.log({"other": step})
        """,
        [4, 8, 12, 16],
    ),
    "the most specific definition": (
        """
        run.define_metric("val_*", step_metric="other", hidden=True)
        run.define_metric("*", step_metric="train/step", summary="max")
        for step in 0, 5, 7:
            run.log({"train/step": step})
            run.log({"val_loss": 1, "other": 2 * step})
        """,
        [0, 10, 14],
    ),
    "a value that was logged before": (
        """
        run.define_metric("val_loss", step_metric="epoch", step_sync=False)
        for epoch in 3, 4:
            run.log({"epoch": epoch})
            run.log({"val_loss": 1})
        """,
        [3, 4],
    ),
    "fractions": (
        """
        run.define_metric("val_loss", step_metric="epoch")
        for epoch in 0.5, 1.0, 1.5:
            run.log({"val_loss": 1, "epoch": epoch})
        """,
        [0, 1, 2],
    ),
    "a step metric that is never logged": (
        """
        run.define_metric("val_loss", step_metric="epoch")
        for step in 0, 2, 5:
            run.log({"val_loss": 1}, step=step)
        """,
        [0, 2, 5],
    ),
}


@pytest.mark.parametrize(("code", "steps"), STEPS.values(), ids=STEPS)
def test_steps_are_those_of_the_step_metric(project: Path, code: str, steps: list[int]) -> None:
    run_one(project, "run = wandb.init()\n" + textwrap.dedent(code))
    study = sweep.load("demo").study
    assert list(study.trials[0].intermediate_values) == steps


K_FOLD = """
    import multiprocessing, os, sys

    def train(fold):
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            del os.environ[name]
        with wandb.init(project="p", group="sweep", name="fold-%d" % fold, reinit=True) as run:
            for step in range(3):
                run.log({"val_loss": 10.0 * fold + step})
            run.summary["val_loss"] = 99.0

    def train_all():
        for fold in 1, 2:
            process = multiprocessing.get_context("fork").Process(target=train, args=[fold])
            process.start()
            process.join()
"""
SEVERAL_RUNS = {
    "W&B's k-fold example": """
        run = wandb.init()
        run_id = run.id
        run.finish()
        train_all()
        run = wandb.init(id=run_id, resume="must")
        run.log({"val_loss": 0.5})
        run.finish()
    """,
    "the folds first": """
        train_all()
        with wandb.init() as run:
            run.log({"val_loss": 0.5})
    """,
    "the folds last": """
        with wandb.init() as run:
            run.log({"val_loss": 0.5})
        train_all()
    """,
    "other runs in the same process": """
        variables = dict(os.environ)
        train(1)
        os.environ.update(variables)
        wandb.teardown()  # it has read the variables only once
        with wandb.init() as run:
            run.log({"val_loss": 0.5})
    """,
    "the same run, several times in one second": """
        for value in 9, 8, 7, 0.5:
            with wandb.init(reinit=True) as run:
                run.log({"val_loss": value})
    """,
    "the summary of a run that is resumed": """
        for value, best in (9, 8), (7, 0.5):
            run = wandb.init(resume="allow")
            run.log({"val_loss": value})
            run.summary["val_loss"] = best
            run.finish()
    """,
    "no run of the trial, and a metric that one run has": """
        del os.environ["WANDB_RUN_ID"], os.environ["WANDB_SWEEP_ID"]
        wandb.init(id="a").finish()
        with wandb.init(id="b") as run:
            run.log({"val_loss": 0.5})
    """,
}


@pytest.mark.parametrize("code", SEVERAL_RUNS.values(), ids=SEVERAL_RUNS)
def test_the_run_with_the_trials_id_counts(project: Path, code: str) -> None:
    trial = run_one(project, textwrap.dedent(K_FOLD) + textwrap.dedent(code))
    assert trial.state == "COMPLETE", trial.reason
    assert trial.value == 0.5
    values = sweep.load("demo").study.trials[0].intermediate_values.values()
    assert not {10.0, 20.0, 99.0} & set(values), "values of other runs"


def test_the_other_runs_are_kept_as_files(project: Path) -> None:
    trial = run_one(project, textwrap.dedent(K_FOLD) + textwrap.dedent(SEVERAL_RUNS["the folds first"]))
    assert len(list(trial.directory.glob("wandb/offline-run-*/run-*.wandb"))) == 3


def test_several_runs_without_the_trials_id_are_an_error_that_says_which_counts(project: Path) -> None:
    trial = run_one(project, textwrap.dedent(K_FOLD) + "train_all()")
    assert trial.reason == (
        "the script never reported 'val_loss'; it was logged to 2 W&B runs without the trial's id: log it to "
        "the run that wandb.init() begins without an id, while WANDB_RUN_ID is set, or call sweep.report"
    )
    assert "does not have the trial's id (WANDB_RUN_ID=demo-0000-" in (project / OUTPUT).read_text()


def test_what_wandb_refuses_because_its_step_goes_back_is_said(project: Path) -> None:
    """W&B's own warning is not printed, because it is silent in a sweep."""
    code = """
        run = wandb.init()
        for epoch in range(2):
            for batch in range(3):
                run.log({"train_loss": 1.0})
            run.log({"val_loss": 1.0}, step=epoch)
        run.finish()
    """
    trial = run_one(project, textwrap.dedent(code))
    refused = (
        "wandb.log refused what was logged with step=0, because the run was at step 3: pass step in all "
        "calls, or use define_metric with a step_metric"
    )
    assert trial.reason == f"the script never reported 'val_loss'; {refused}"
    assert f"sweep: {refused}" in (project / OUTPUT).read_text()


def test_what_wandb_copies_from_a_log_directory_is_not_a_source(project: Path) -> None:
    code = """
        import os, sys, threading, time
        sys.modules["torch"] = None  # importing it takes two seconds
        run = wandb.init(sync_tensorboard=True)
        from tensorboardX import SummaryWriter
        writer = SummaryWriter("logs", flush_secs=1)
        run.log({"own": 3, "global_step": 1})
        open("begun", "w").close()
        time.sleep(3)  # the other trial's curve is copied first
        for step in range(0, 500, 100):
            writer.add_scalar("val_loss", step, step)
        writer.close()
        run.finish()
    """

    # In a process of its own: the writers of this one are adapted once it has run a function.
    other_trial = """
        import os, time
        from tensorboardX import SummaryWriter
        end = time.monotonic() + 180
        while not os.path.exists("begun") and time.monotonic() < end:
            time.sleep(0.05)
        with SummaryWriter("logs", filename_suffix=".other") as writer:
            for step in range(10):
                writer.add_scalar("val_loss", 1000 + step, step)
                writer.add_scalar("of_another_trial", 1, step)
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(other_trial)], cwd=project)
    trial = run_one(project, code)
    assert other.wait(60) == 0
    assert trial.state == "COMPLETE", trial.reason
    values = sweep.load("demo").study.trials[0].intermediate_values
    assert values == {step: step for step in range(0, 500, 100)}
    assert trial.metrics == {"val_loss": 400, "best/val_loss": 0, "own": 3, "global_step": 1}
    (file,) = trial.directory.glob("wandb/offline-run-*/run-*.wandb")
    assert b"of_another_trial" in file.read_bytes(), "W&B has copied it"


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({"SWEEP_TRIAL_DIR": "x", "SWEEP_WANDB_MODE": "offline", "WANDB_MODE": "online"}, "offline"),
        ({"SWEEP_TRIAL_DIR": "x", "SWEEP_WANDB_MODE": "disabled", "WANDB_MODE": "shared"}, "offline"),
        ({"SWEEP_TRIAL_DIR": "x", "SWEEP_WANDB_MODE": "online"}, "online"),
        ({"SWEEP_TRIAL_DIR": "x"}, "online"),
        ({}, "offline"),
    ],
    ids=["offline", "disabled", "online by the sweep file", "a function's child", "a cleared environment"],
)
def test_the_mode_is_that_of_the_sweep_file(variables: dict[str, str], mode: str, tmp_path: Path) -> None:
    code = "import wandb; print(wandb.setup().settings.mode)"
    environment = {"PYTHONPATH": str(STARTUP), "HOME": str(tmp_path), **variables}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environment, text=True).splitlines()[-1] == mode


def test_every_character_of_a_parameter_arrives_in_wandbs_config(tmp_path: Path) -> None:
    params = {"text": "a\x85b\u2028c", "\u00b5": "\u00fc \U0001f600"}
    write_parameters(tmp_path, params)
    (file,) = tmp_path.iterdir()
    read = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert {name: read[name]["value"] for name in params} == params
