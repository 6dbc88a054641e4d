"""An objective with all that is written to disk: reports, a checkpoint, an artifact, attributes, a failure."""

import json
import os
import signal

import sweep


def train(trial):
    first = 0
    if found := trial.checkpoint.latest():
        first = found.step + 1
    for step in range(first, trial.params.steps):
        loss = (trial.params["lr"] - 0.01) ** 2 + 1 / (step + 1)
        trial.log({"train/loss": loss / 2}, step=step)
        trial.report(loss, step=step)
        if trial.should_prune() or (trial.number, step) == (4, 2):
            raise sweep.TrialPruned
        with trial.checkpoint.save(step) as path:
            (path / "state.json").write_text(json.dumps({"step": step}))
        if step == 1 and os.environ.get("KILL_TRIAL") == str(trial.number):
            os.kill(os.getpid(), signal.SIGKILL)
    if trial.number == 1 and trial.repeat == 0:
        raise ValueError("number 1 is no good")
    note = trial.directory / "note.txt"
    note.write_text(f"trial {trial.number} began at step {first}\n")
    trial.save_artifact(note)
    trial.set_user_attr("epochs_done", trial.params.steps)
    return loss
