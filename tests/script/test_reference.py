"""The command, environment and working directory of a script."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import sweep
from sweep.script.executables import check_executable
from sweep.script.reference import ScriptReference
from sweep.sweepfile import load_spec
from tests.script.conftest import JSON_LINES, MakeScript, run


@pytest.mark.process
def test_parameter_values_reach_the_script_unchanged(make_script: MakeScript) -> None:
    values = ["a b", 'it\'s "so"', "$(rm -rf x)", "two\nlines", "--flag", "", "*", "ü\\n", "a;b|c&d"]
    file = make_script(
        f"""
        import argparse
        parser = argparse.ArgumentParser()
        for number in range({len(values)}):
            parser.add_argument("--w%d" % number)
        found = parser.parse_args()
        assert list(vars(found).values()) == {values!r}, found
        print('{{"val_loss": 1}}')
        """,
        parameters={f"w{number}": value for number, value in enumerate(values)},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


def test_environment_variables_of_the_launching_machine_are_the_fallback(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", "/here")
    monkeypatch.setenv("ELSEWHERE", "/e")
    command = ["${interpreter}", "${program}", "${envvar:DATA}", "${envvar:GONE}"]
    spec = load_spec(make_script("", command=command, env={"E": "${envvar:ELSEWHERE}"}))
    found = ScriptReference.find(spec, project, project)
    for name in ("DATA", "ELSEWHERE"):
        monkeypatch.delenv(name)
    assert found.arguments({}, project, 0, 0)[-2:] == ["/here", "GONE"]
    monkeypatch.setenv("DATA", "/there")
    assert found.arguments({}, project, 0, 0)[-2:] == ["/there", "GONE"]


@pytest.mark.process
def test_environment_and_working_directory_come_from_the_sweep_file(
    make_script: MakeScript, project: Path
) -> None:
    (project / "data").mkdir()
    file = make_script(
        """
        import os
        assert os.path.basename(os.getcwd()) == "data", os.getcwd()
        assert [os.environ[name] for name in ("A", "B", "C")] == ["x y", "1", "true"]
        assert os.environ["WANDB_MODE"] == "disabled"
        print('{"val_loss": 1}')
        """,
        cwd="data",
        env={"A": "x y", "B": 1, "C": True, "WANDB_MODE": "disabled"},
    )
    here = os.getcwd()
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason
    assert "A" not in os.environ
    assert os.getcwd() == here


def test_environment_and_working_directory_apply_to_functions_too(
    make_script: MakeScript, project: Path
) -> None:
    (project / "data").mkdir()
    (project / "work.py").write_text(
        "import os\n"
        "def train(trial):\n    assert os.getcwd().endswith('data')\n    return float(os.environ['A'])\n"
    )
    file = make_script("", program=None, objective="work.py:train", cwd="data", env={"A": 4})
    assert run(file).trials[0].value == 4
    assert "A" not in os.environ


@pytest.mark.process
def test_an_executable_program_runs_directly(make_script: MakeScript, project: Path) -> None:
    file = make_script("", at="train.sh")
    (project / "train.sh").write_text('#!/bin/sh\necho "{\\"val_loss\\": ${1#--lr=}}"\n')
    with pytest.raises(sweep.InputError, match=r"demo.yaml:\d+: program: train.sh is neither a .py file nor"):
        run(file)
    (project / "train.sh").chmod(0o755)
    trial = run(file).trials[0]
    assert trial.value == trial.params["lr"]


UNRUNNABLE = {
    "echo hello": r"its first line does not name an interpreter; begin it with #!/bin/sh, or",
    "#!/bin/sh\r\necho": r"its first line ends with CRLF, .*'/bin/sh' with a carriage return; .*sed -i",
    "#!/usr/bin/env python3\r\n": r"its first line ends with CRLF",
    "#!/no/such/sh\n": r"its first line names the interpreter /no/such/sh, which does not exist",
    "#!/usr/bin/env no-such-python\n": r"names the interpreter 'no-such-python', which is not on PATH",
    "#!/usr/bin/env -S no-such-python -u\n": r"names the interpreter 'no-such-python', which is not on PATH",
    "#!/usr/bin/env python3 -u\n": r"passes 'python3 -u' to env as one argument; write #!/usr/bin/env -S",
    "#!/etc/passwd\n": r"its first line names /etc/passwd, which is not executable",
    "#!\n": r"its first line is #! without an interpreter",
    "\ufeff#!/bin/sh\n": r"a byte order mark precedes #!",
}


@pytest.mark.parametrize("code", UNRUNNABLE)
@pytest.mark.parametrize("command", [None, ["./train.sh", "${args}"]])
def test_a_script_whose_interpreter_is_missing_is_an_error_before_anything_runs(
    make_script: MakeScript, project: Path, code: str, command: list[str] | None
) -> None:
    file = make_script("", at="train.sh", command=command)
    (project / "train.sh").write_bytes(code.encode())
    (project / "train.sh").chmod(0o755)
    with pytest.raises(sweep.InputError, match=rf"command: \./train.sh cannot be run: .*{UNRUNNABLE[code]}"):
        run(file)
    assert not (project / "runs").exists()


@pytest.mark.process
def test_a_script_whose_interpreter_vanishes_later_says_so_too(
    make_script: MakeScript, project: Path
) -> None:
    file = make_script("", at="train.sh", command=["${which}", "${args}"], parameters={"which": "./train.sh"})
    (project / "train.sh").write_text("#!/no/such/sh\n")
    (project / "train.sh").chmod(0o755)
    reason = run(file).trials[0].reason
    assert reason.startswith("./train.sh cannot be run: No such file or directory: its first line names")


@pytest.mark.parametrize(
    "code",
    ["#!/bin/sh\n", "#! /usr/bin/env -S python3 -u\n", "#!/usr/bin/env -u X y\n", "\x7fELF\0", "#!./sh\n"],
)
def test_a_program_with_an_interpreter_can_be_run(project: Path, code: str) -> None:
    for name in ("program", "sh"):
        (project / name).write_text(code)
        (project / name).chmod(0o755)
    check_executable("./program", project, os.environ["PATH"])


def test_env_gives_a_script_without_an_interpreter_to_sh(project: Path) -> None:
    (project / "program").write_text("echo hello\n")
    (project / "program").chmod(0o755)
    check_executable("./program", project, os.environ["PATH"], by_env=True)


HYDRA = """
    import json, hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    @hydra.main(version_base=None, config_path="conf", config_name="config")
    def main(config):
        assert OmegaConf.to_container(config["x"]) == {"none": None, "text": "a,b='c' {d}", "list": ["1"]}
        assert HydraConfig.get().runtime.output_dir.endswith("-0000/hydra"), HydraConfig.get().runtime
        print(json.dumps({"val_loss": 1}))

    main()
"""


@pytest.mark.process
@pytest.mark.parametrize("macro", ["args_hydra", "args_override_hydra"])
def test_a_hydra_program_receives_values_unchanged_and_writes_into_its_trial(
    make_script: MakeScript, project: Path, macro: str
) -> None:
    pytest.importorskip("hydra")
    (project / "conf").mkdir()
    (project / "conf" / "config.yaml").write_text("x: {none: 1, text: t, list: []}\n")
    file = make_script(
        HYDRA,
        command=["${interpreter}", "${program}", f"${{{macro}}}"],
        parameters={
            "x.none": {"values": [None]},
            "x.text": "a,b='c' {d}",
            "x.list": {"values": [["1"]]},
        },
    )
    (trial,) = run(file).trials
    assert trial.state == "COMPLETE", trial.reason


@pytest.mark.process
def test_what_hydra_refuses_is_the_reason(make_script: MakeScript, project: Path) -> None:
    pytest.importorskip("hydra")
    (project / "conf").mkdir()
    (project / "conf" / "config.yaml").write_text("x: 1\n")
    file = make_script(
        HYDRA, command=["${interpreter}", "${program}", "${args_no_hyphens}"], parameters={"x": "a,b"}
    )
    (trial,) = run(file).trials
    assert "hydra.errors." in trial.reason
    assert "HYDRA_FULL_ERROR" not in trial.reason


@pytest.mark.process
def test_a_command_with_macros_replaces_the_default_one(make_script: MakeScript, project: Path) -> None:
    code = """
        import json, sys
        name, place, file = sys.argv[1:]
        params = json.load(open(file))
        assert params["kind"] == name == "a b"
        assert place.endswith("/runs/demo/trial-0000/out")
        print(json.dumps({"val_loss": params["lr"]}))
    """
    items = ["${interpreter}", "${program}", "${kind}", "${trial_dir}/out", "${args_json_file}"]
    trial = run(make_script(code, command=items)).trials[0]
    assert trial.value == trial.params["lr"], trial.reason
    seen = subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", "check", "demo.yaml", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    directory = str(project.resolve() / "runs" / "demo" / "trial-0000")
    assert json.loads(seen.stdout)["command"] == [
        *(sys.executable, "train.py", "a b", f"{directory}/out", f"{directory}/args.json"),
    ]


@pytest.mark.process
def test_a_program_next_to_the_sweep_file_is_found(make_script: MakeScript, project: Path) -> None:
    file = make_script(JSON_LINES, at="spaces/train.py")
    file = file.rename(project / "spaces" / "demo.yaml")
    file.write_text(file.read_text().replace("program: spaces/train.py", "program: train.py"))
    assert run(file).trials[0].state == "COMPLETE"


@pytest.mark.process
def test_wandb_semantics_pass_groups_as_mappings_and_run_this_python(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # the environment is not activated
    file = make_script(
        f"""
        import sys
        assert sys.argv[1:] == ["--sgd={{'momentum': 2}}", "--x=1"], sys.argv
        assert sys.prefix == {sys.prefix!r}
        print('{{"val_loss": 1}}')
        """,
        arguments="nested",
        parameters={"sgd": {"parameters": {"momentum": 2.0}}, "x": 1},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"program": "trian.py"}, "program: there is no file trian.py; did you mean train.py?"),
        ({"program": None}, "objective: is missing; write for example objective: train.py:train"),
        (
            {"objective": "a.py:f"},
            "objective: cannot be combined with 'program': a sweep runs a function or a script",
        ),
        ({"command": "python train.py"}, 'write ["python", "train.py"]'),
        ({"command": []}, "command: is empty"),
        ({"command": ["python", "${progam}"]}, "there is no ${progam}; did you mean ${program}?"),
        ({"command": ["pyhton3"]}, "command: there is no program 'pyhton3' on PATH; did you mean python3"),
        (
            {"command": ["train.py"]},
            "command: there is no program 'train.py' on PATH; did you mean ./train.py?",
        ),
        ({"command": ["./train.py"]}, "command: ./train.py is not executable"),
        ({"command": ["python", "${program}"], "program": None}, "program: is missing, but the command uses"),
        ({"cwd": "dta"}, "cwd: there is no directory dta; did you mean data?"),
        ({"env": {"A": [1]}}, "env.A: expected a string, a number, true or false, got [1]"),
        ({"env": {"A B": 1}}, "'A B' cannot name a variable"),
        ({"arguments": "nestd"}, "arguments: 'nestd' is not valid; did you mean 'nested'?"),
    ],
)
def test_an_invalid_entry_is_an_error_with_its_line(
    make_script: MakeScript, project: Path, keys: dict[str, Any], message: str
) -> None:
    (project / "data").mkdir()
    file = make_script("", **keys)
    with pytest.raises(sweep.InputError, match=re.escape(message)) as error:
        run(file)
    assert "\n" not in str(error.value)
    assert re.match(r".*demo.yaml:\d+: ", str(error.value))
    assert not (project / "runs").exists()


def test_a_written_sweep_file_loads_as_the_same_sweep(make_script: MakeScript, project: Path) -> None:
    file = make_script(
        "",
        command=["${interpreter}", "${program}", "-O", 1, "${args}"],
        env={"A": "1e-4", "B": "true"},
        cwd="data",
        arguments="nested",
    )
    spec = sweep.SweepSpec.model_validate(yaml.safe_load(file.read_text()) | {"name": "demo"})
    (project / "again.yaml").write_text(spec.to_yaml())
    from sweep.sweepfile import load_spec

    assert load_spec(project / "again.yaml") == spec


@pytest.mark.process
def test_cwd_and_env_can_depend_on_the_trial(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, sys
        trial = os.environ["SWEEP_TRIAL_DIR"]
        assert os.getcwd() == os.path.join(trial, "work")
        assert os.environ["OUT"] == trial + "/out", os.environ["OUT"]
        assert os.environ["KIND"] == "a b-0" and os.environ["RAW"] == "${kind}"
        print('{"val_loss": 1}')
        """,
        cwd="${trial_dir}/work",
        env={"OUT": "${trial_dir}/out", "KIND": "${kind}-${number}", "RAW": "$${kind}"},
    )
    result = run(file)
    assert result.trials[0].state == "COMPLETE", result.trials[0].reason


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cwd": "${trial_di}"}, "cwd: '${trial_di}' is not supported; write a directory, or begin with"),
        ({"env": {"A": "${knid}"}}, "env.A: '${knid}': there is no ${knid}; did you mean ${kind}?"),
        ({"env": {"A": "${args}"}}, "env.A: '${args}': ${args} is several arguments"),
        (
            {"program": None, "objective": "train.py:f", "cwd": "${trial_dir}"},
            "cwd: is the same for all trials; an objective has trial.directory",
        ),
    ],
)
def test_an_invalid_macro_is_an_error(make_script: MakeScript, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(sweep.InputError, match=re.escape(message)):
        run(make_script("", **keys))


@pytest.mark.process
def test_the_environments_own_sitecustomize_and_pythonpath_are_kept(
    make_script: MakeScript, project: Path
) -> None:
    (project / "lib").mkdir()
    (project / "lib" / "sitecustomize.py").write_text("import sys; sys.mine = __file__")
    (project / "lib" / "helper.py").write_text("")
    file = make_script(
        "import sys, helper; assert sys.mine; print('{\"val_loss\": 1}')", env={"PYTHONPATH": "lib"}
    )
    assert run(file).trials[0].state == "COMPLETE"


@pytest.mark.process
def test_env_can_extend_existing_variables(make_script: MakeScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PATH", "/there")
    monkeypatch.setenv("PYTHONBREAKPOINT", "ray.util.rpdb.set_trace")
    file = make_script(
        """
        import json, os, shutil, sys
        assert os.environ["PATH"].count("/opt/x/bin") == 1
        assert os.path.dirname(shutil.which("python")) == os.path.dirname(sys.executable)
        assert shutil.which("env")
        assert "$" not in os.environ["PATH"] + os.environ["PYTHONPATH"]
        assert os.environ["SOME_PATH"] == "/here:/there"
        assert "PYTHONBREAKPOINT" not in os.environ, "Ray's debugger fails outside of its workers"
        assert sys.argv[1] == os.environ["SWEEP_TRIAL_DIR"] + "/out", sys.argv
        print('{"val_loss": 1}')
        """,
        command=["${interpreter}", "${program}", "${envvar:OUT}"],
        env={
            "PATH": "/opt/x/bin:${envvar:PATH}",
            "PYTHONPATH": "src:${envvar:PYTHONPATH}",
            "SOME_PATH": "/here:${envvar:SOME_PATH}",
            "OUT": "${trial_dir}/out",
        },
    )
    (trial,) = run(file).trials
    assert trial.state == "COMPLETE", trial.reason
