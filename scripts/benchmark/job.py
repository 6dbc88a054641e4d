"""Measures one case in a separate process, with a time limit. Run as a module, it is that process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from benchmark.case import Case, Values

SCRIPTS = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """The environment of all processes that belong to a measurement."""
    paths = [str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    }


def measure(case: Case, folder: Path, limit: float) -> Values | str:
    """Measure a case in a new process.

    Args:
        case: what to measure.
        folder: the directory for its files.
        limit: the time limit in seconds.

    Returns:
        the values, or why there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result, output = folder / "result.json", folder / "output"
    result.unlink(missing_ok=True)
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.job", case.to_json(), str(folder)],
            cwd=folder,
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"not finished within {limit:.0f} s"
    finally:
        kill_tree(process.pid)
        process.wait()
    if result.exists():
        return dict(json.loads(result.read_text()))
    lines = output.read_text(errors="replace").strip().splitlines()
    print("\n".join(lines[-30:]), file=sys.stderr)
    return f"failed: {lines[-1] if lines else process.returncode}"


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants, if they are alive."""
    try:
        parent = psutil.Process(pid)
        tree = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(tree, timeout=10)


def main() -> None:
    from benchmark.measurements import MEASUREMENTS

    case, folder = Case.from_json(sys.argv[1]), Path(sys.argv[2])
    found = MEASUREMENTS[case.measurement].measure(case, folder)
    (folder / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
