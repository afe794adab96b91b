"""Which commit a folder is at, and how it differs from it; read only, without credentials."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

TIMEOUT_S = 30.0
MOST_FILES = 1000
"""Longest list of changed or untracked files that is recorded."""

_NOTHING: dict[str, Any] = {
    "repository": None,
    "commit": None,
    "branch": None,
    "dirty": None,
    "dirty_files": None,
    "diff_sha256": None,
    "untracked": None,
}


def git_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return repository, commit and changes of the working tree that `folder` is part of.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    dict
        See `fovflow.runs.provenance.capture_workflow`. Every value is null where git is absent, the
        folder is in no working tree, or none of its files is tracked (a package installed inside
        someone's repository says nothing about that repository).
    """
    if not _git(folder, "ls-files", "-z", "--", "."):
        return dict(_NOTHING)
    commit = _text(folder, "rev-parse", "HEAD")
    state = _git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=normal")
    if commit is None or state is None:
        return dict(_NOTHING)
    changed, untracked = _parse_status(state)
    return {
        "repository": _remote(folder),
        "commit": commit,
        "branch": _text(folder, "symbolic-ref", "--short", "-q", "HEAD"),
        "dirty": bool(changed),
        "dirty_files": changed[:MOST_FILES],
        "diff_sha256": _diff_digest(folder) if changed else None,
        "untracked": untracked[:MOST_FILES],
    }


def without_credentials(url: str) -> str:
    """Return a repository's URL without user, password and query.

    Examples
    --------
    >>> without_credentials("https://me:s3cret@example.org/lab/code.git?token=1")
    'https://example.org/lab/code.git'
    >>> without_credentials("git@example.org:lab/code.git")
    'git@example.org:lab/code.git'
    >>> without_credentials("me:s3cret@example.org:lab/code.git")
    'example.org:lab/code.git'
    """
    if "://" not in url:
        user, at, rest = url.rpartition("@")
        return url if not at or user == "git" else rest
    scheme, _, rest = url.partition("://")
    before, _, after = rest.rpartition("@")
    if ":" in before and "/" in before:
        rest = after  # perhaps a password with a slash in it: rather lose a part of the path
    try:
        parts = urlsplit(f"{scheme}://{rest}")
    except ValueError:
        return f"{scheme}://"
    name, at, host = parts.netloc.rpartition("@")
    keep = "git@" if at and name == "git" else ""
    return urlunsplit((parts.scheme, keep + host, parts.path, "", ""))


def _remote(folder: str | os.PathLike[str]) -> str | None:
    names = (_text(folder, "remote") or "").split()
    if not names:
        return None
    name = "origin" if "origin" in names else names[0]
    url = _text(folder, "config", "--get", f"remote.{name}.url")
    return without_credentials(url) if url else None


def _parse_status(output: bytes) -> tuple[list[str], list[str]]:
    """Return changed and untracked files of ``git status --porcelain=v1 -z``."""
    changed, untracked = [], []
    entries = iter(output.decode("utf-8", "replace").split("\0"))
    for entry in entries:
        if len(entry) < 4:
            continue
        code, name = entry[:2], entry[3:]
        if code == "??":
            untracked.append(name)
            continue
        changed.append(name)
        if "R" in code or "C" in code:
            next(entries, None)  # the name before
    return sorted(changed), sorted(untracked)


def _diff_digest(folder: str | os.PathLike[str]) -> str | None:
    """Return the SHA-256 of the difference to HEAD, which may be large."""
    command = _command(
        folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index",
        "HEAD",
    )  # fmt: skip
    digest = hashlib.sha256()
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as process:
            assert process.stdout is not None
            for piece in iter(lambda: process.stdout.read(1 << 20), b""):  # type: ignore[union-attr]
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest() if process.returncode == 0 else None


def _text(folder: str | os.PathLike[str], *arguments: str) -> str | None:
    output = _git(folder, *arguments)
    return output.decode("utf-8", "replace").strip() or None if output is not None else None


def _git(folder: str | os.PathLike[str], *arguments: str) -> bytes | None:
    """Return git's output; None where it fails, is absent or takes too long."""
    try:
        done = subprocess.run(
            _command(folder, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _command(folder: str | os.PathLike[str], *arguments: str) -> list[str]:
    place = os.fspath(Path(folder))
    return ["git", "-C", place, "-c", "core.fsmonitor=false", "--no-pager", *arguments]


def _environment() -> dict[str, str]:
    """Return the environment for git: no locks, no questions, and no other repository's."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE")}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
