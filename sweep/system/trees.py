"""Copies and removes files and whole directories."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path


def copy_tree(source: Path, target: Path, root: Path | None = None, parents: tuple[Path, ...] = ()) -> None:
    """Copy a file or a directory, so that the copy does not depend on anything outside it.

    A link to something outside `root` is replaced by a copy of what it points to, as in a cache of Hugging
    Face, whose snapshots are links to blobs. Links within `root` and dangling links stay links.

    Args:
        source: what to copy, resolved.
        target: where the copy goes; it does not exist yet.
        root: the directory within which links stay links; `source` by default.
        parents: the directories that are being copied, to detect a link to one of them.

    Raises:
        ValueError: a link points to a directory that contains it.
        OSError: `source` cannot be read or is neither a file nor a directory, or `target` cannot be written.
    """
    root = root or source
    if source.is_file():
        shutil.copy2(source, target)
        return
    if not source.is_dir():  # reading a pipe may block forever
        raise OSError(errno.EINVAL, "is neither a file nor a directory", str(source))
    parents = (*parents, source)
    target.mkdir()
    for path in sorted(source.iterdir()):
        # `resolve` fails for a link to itself, for which `exists` is False.
        if path.is_symlink() and not (path.exists() and _points_outside(path, root)):
            os.symlink(os.readlink(path), target / path.name)
            continue
        resolved = path.resolve()
        if any(parent.is_relative_to(resolved) for parent in parents):
            raise ValueError(f"{path} is a link to {resolved}, which contains it; remove the link")
        copy_tree(resolved, target / path.name, resolved if path.is_symlink() else root, parents)
    shutil.copystat(source, target)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a directory as far as possible."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()  # a file or a link, which `rmtree` ignores


def _points_outside(link: Path, root: Path) -> bool:
    """Whether a link would point to something else in a copy of `root`."""
    return os.path.isabs(os.readlink(link)) or not link.resolve().is_relative_to(root)
