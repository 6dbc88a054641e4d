"""Plain Optuna: processes that share a study in a journal file. Run as a module, it is one of them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmark.work import Result, Work, times_file, train


def run(work: Work, folder: Path) -> Result:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    work.write(folder)
    began = time.perf_counter()
    _open(folder)
    shares = [len(range(slot, work.trials, work.slots)) for slot in range(work.slots)]
    processes = [
        subprocess.Popen([sys.executable, "-m", __name__, str(folder), str(share)])
        for share in shares
        if share
    ]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    assert not any(codes), codes
    trials = _open(folder).trials
    assert len(trials) == work.trials
    assert all(trial.state.name == "COMPLETE" for trial in trials)
    stored = max(trial.datetime_complete.timestamp() for trial in trials)
    return Result(seconds, stored, [list(trial.intermediate_values.values()) for trial in trials])


def command(work: Work, folder: Path) -> list[str]:
    work.write(folder)
    return [sys.executable, "-m", __name__, str(folder), str(work.trials)]


def _open(folder: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    work = Work.read(folder)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    return optuna.create_study(
        study_name="bench",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        sampler=samplers[work.sampler](),
        pruner=optuna.pruners.MedianPruner() if work.verdicts else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def main() -> None:
    import optuna

    folder, trials = Path(sys.argv[1]), int(sys.argv[2])
    work, times = Work.read(folder), times_file(folder)
    if work.torch:
        import torch  # noqa: F401
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        values = [trial.suggest_float(name, 0, 1) for name in work.names]
        return train(work, values[0], trial.report, trial.should_prune, times)

    _open(folder).optimize(objective, n_trials=trials)


if __name__ == "__main__":
    main()
