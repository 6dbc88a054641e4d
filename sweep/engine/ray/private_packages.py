"""The private parts of Ray that send a folder to the machines of a cluster. Checked with Ray 2.60.

Ray sends the working directory of a whole job only, before it is known whether a machine needs it. These are
the functions that it uses for that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env import packaging

LARGEST = packaging.GCS_STORAGE_MAX_SIZE
"""The largest folder that Ray sends, in bytes: it travels in one message."""


def sizes(root: Path, excludes: Sequence[str]) -> dict[str, int]:
    """How many bytes of each entry of a folder would be sent.

    Args:
        root: the folder.
        excludes: what is left out, as patterns of `.gitignore`. What the folder's `.gitignore` and
            `.rayignore` name is left out, too.
    """
    found: dict[str, int] = {}

    def add(path: Path) -> None:
        if path.is_file():
            name = path.relative_to(root).parts[0]
            found[name] = found.get(name, 0) + path.stat().st_size

    skips = [packaging._get_excludes(root, _all(excludes))]
    packaging._dir_travel(root, skips, add, include_gitignore=True)
    return found


def uri(root: Path, excludes: Sequence[str]) -> str:
    """The URI of a folder's contents."""
    return str(packaging.get_uri_for_directory(str(root), include_gitignore=True, excludes=_all(excludes)))


def upload(uri: str, root: Path, excludes: Sequence[str]) -> None:
    """Store a folder's contents in the cluster, unless it has them. Ray removes them some time after the last
    worker that uses them."""
    with tempfile.TemporaryDirectory() as folder:
        packaging.upload_package_if_needed(
            uri, folder, str(root), include_gitignore=True, excludes=_all(excludes)
        )


def _all(excludes: Sequence[str]) -> list[str]:
    return [*get_runtime_env_default_excludes(), *excludes]
