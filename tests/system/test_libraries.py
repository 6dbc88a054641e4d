"""Importing the parts of this package."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import threading
import sweep

errors = []

def use():
    try:
        assert callable(sweep.run)
        from sweep import Trial
    except Exception as error:
        errors.append(repr(error))

threads = [threading.Thread(target=use) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(errors)
"""


@pytest.mark.process
def test_several_threads_can_be_the_first_to_use_the_package() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
