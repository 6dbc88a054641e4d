"""Ray alone: the first call of an actor. Run as a module, it is that program."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.contestants.ray_start import start_ray
from benchmark.work import Work, times_file, train


def command(work: Work, folder: Path) -> list[str]:
    work.write(folder)
    return [sys.executable, "-m", __name__, str(folder)]


def main() -> None:
    import ray

    folder = Path(sys.argv[1])
    work = Work.read(folder)

    class Actor:
        def step(self) -> None:
            train(work, 0.5, lambda value, step: None, lambda: False, times_file(folder))

    with start_ray(work):
        actor = ray.remote(Actor).options(num_cpus=work.cpu).remote()
        ray.get(actor.step.remote())


if __name__ == "__main__":
    main()
