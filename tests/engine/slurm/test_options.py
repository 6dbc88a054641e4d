"""`--slurm-args` and `--nodes`."""

from __future__ import annotations

import pytest

from sweep.engine.slurm.options import SlurmOptions
from sweep.errors import InputError
from sweep.sweepfile.resources import Resources


@pytest.mark.parametrize(
    ("text", "least", "most"), [("0..8", 0, 8), ("2..4", 2, 4), ("3", 0, 3), (" 1 .. 1 ", 1, 1)]
)
def test_the_number_of_jobs_has_a_least_and_a_most(text: str, least: int, most: int) -> None:
    options = SlurmOptions.read(nodes=text)
    assert (options.least, options.most) == (least, most)


@pytest.mark.parametrize("text", ["", "x", "-1", "4..2", "0", "1...3", "1..", "..3", "1.5", "0..0"])
def test_another_number_of_jobs_is_an_error_that_says_what_to_write(text: str) -> None:
    with pytest.raises(
        InputError, match=r"^--nodes: .* write the most, 8, or the least and the most, 0\.\.8$"
    ):
        SlurmOptions.read(nodes=text)


@pytest.mark.parametrize(
    "option",
    ["--array=1-3", "-a 1-3", "-N2", "--nodes=2", "--nodes 2", "--wrap=x", "-W", "-M a", "--clusters=a"],
)
def test_options_that_do_not_fit_a_worker_are_refused(option: str) -> None:
    name = option[:2] if option[1] != "-" else option.split("=")[0].split()[0]
    with pytest.raises(InputError, match=f"^--slurm-args: {name} cannot be used: .*; leave it out$"):
        SlurmOptions.read(f"--partition=gpu {option}")


@pytest.mark.parametrize("text", ["--comment='open", "gpu --time=1"])
def test_arguments_that_are_not_options_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--slurm-args: "):
        SlurmOptions.read(text)


def test_arguments_are_read_as_by_a_shell() -> None:
    options = SlurmOptions.read("-p gpu --comment='two words' --nodelist=n1")
    assert options.arguments == ("-p", "gpu", "--comment=two words", "--nodelist=n1")


@pytest.mark.parametrize(
    ("resources", "arguments", "added"),
    [
        ({}, "", []),
        ({"cpu": 4}, "", ["--cpus-per-task=4"]),
        ({"cpu": 2.5, "gpu": 0.5}, "--time=5", ["--gres=gpu:1", "--cpus-per-gpu=5"]),
        ({"gpu": 2}, "", ["--gres=gpu:2", "--cpus-per-gpu=1"]),
        ({"cpu": 8, "gpu": 2}, "--gres=gpu:4", ["--cpus-per-gpu=4"]),
        ({"cpu": 0, "gpu": 1}, "-G 4", ["--cpus-per-gpu=1"]),
        ({"cpu": 4, "gpu": 1}, "-c 8 --gres=gpu:a100:2", []),
        ({"cpu": 4, "gpu": 1}, "--exclusive --gpus-per-node=8", []),
        ({"cpu": 4}, "-n16", []),
    ],
)
def test_a_job_requests_what_one_trial_needs_unless_the_arguments_say_something_else(
    resources: dict[str, float], arguments: str, added: list[str]
) -> None:
    options = SlurmOptions.read(arguments)
    assert options.request(Resources(**resources)) == [*added, *options.arguments]


def test_a_job_with_one_cpu_is_too_small_for_trials_that_could_share_a_gpu() -> None:
    auto = Resources(gpu="auto")
    note = SlurmOptions().note_on_sharing(auto)
    assert "a job requests --cpus-per-gpu=1, enough for one trial" in note
    assert "--slurm-args='--cpus-per-gpu=4'" in note
    assert SlurmOptions.read("--cpus-per-gpu=4").note_on_sharing(auto) == ""
    assert SlurmOptions().note_on_sharing(Resources(gpu="auto", cpu=0.25)) == ""
    assert SlurmOptions().note_on_sharing(Resources(gpu=1)) == ""
    assert SlurmOptions().note_on_sharing(Resources()) == ""
