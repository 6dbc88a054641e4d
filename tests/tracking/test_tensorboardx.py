"""tensorboardX is imported without the heavy packages that it imports itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.process
@pytest.mark.parametrize(
    ("package", "url", "error"),
    [
        ("boto3", "s3://bucket/run", "an S3 client"),
        ("google/cloud/storage", "gs://bucket/run", "a GCS client"),
    ],
)
def test_the_client_of_an_object_store_is_imported_when_a_writer_needs_it(
    tmp_path: Path, package: str, url: str, error: str
) -> None:
    folder = tmp_path / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    name = package.replace("/", ".")
    script = f"""
import sys, types
import google
sys.path.insert(0, {str(tmp_path)!r})
google.__path__ = [*google.__path__, {str(tmp_path / "google")!r}]
import sweep.tracking.tensorboardx
assert {name!r} not in sys.modules and "torch" not in sys.modules

def refuse(*args, **kwargs):
    raise RuntimeError({error!r})

sys.modules[{name!r}] = types.SimpleNamespace(client=refuse, Client=refuse)
from tensorboardX.record_writer import RecordWriter
try:
    writer = RecordWriter({url + "/events"!r})
    writer.write(b"record")
    writer.flush()
except RuntimeError as raised:
    print(raised)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{error}\n"), done.stderr
