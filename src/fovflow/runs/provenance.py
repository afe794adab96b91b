"""What a run was made with: the code and its commit, the environment, the inputs."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fovflow.atomic import Digest, digest_of, sha256_or_none
from fovflow.errors import FovflowError
from fovflow.records import write_if_changed
from fovflow.units import Pattern

TIMEOUT_S = 30.0
MOST_FILES = 1000
"""Longest list of changed or untracked files that is recorded."""

_GIT_KEYS = (
    "repository", "commit", "branch", "dirty", "dirty_files", "diff_sha256", "untracked",
)  # fmt: skip


def git_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return repository, commit and changes of the working tree that `folder` is part of.

    The keys are those of `capture_workflow`. Every value is null where git is absent, the folder is
    in no working tree, or none of its files is tracked (a package installed inside someone's
    repository says nothing about that repository).
    """
    commit = state = None
    if _git(folder, "ls-files", "-z", "--", "."):
        commit = _text(folder, "rev-parse", "HEAD")
        state = _git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=normal")
    if commit is None or state is None:
        return dict.fromkeys(_GIT_KEYS)
    changed, untracked = _parse_status(state)
    values = (
        _remote(folder),
        commit,
        _text(folder, "symbolic-ref", "--short", "-q", "HEAD"),
        bool(changed),
        changed[:MOST_FILES],
        _diff_digest(folder) if changed else None,
        untracked[:MOST_FILES],
    )
    return dict(zip(_GIT_KEYS, values, strict=True))


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
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as process:
            assert process.stdout is not None
            sha256 = digest_of(process.stdout).sha256
    except OSError:
        return None
    return sha256 if process.returncode == 0 else None


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
    return ["git", "-C", os.fspath(folder), "-c", "core.fsmonitor=false", "--no-pager", *arguments]


def _environment() -> dict[str, str]:
    """Return the environment for git: no locks, no questions, and no other repository's."""
    kept = {k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE")}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


FOLDER = "provenance"
"""Folder, in the dataset's, with copies of the workflow, the configuration and the environment."""

WORKFLOW_FILES = ("Snakefile", "rules/**/*.smk", "scripts/**/*.py")
"""Patterns of files whose digests say which workflow ran."""

SHA256_BYTES = 256 << 20
"""Inputs up to this size get a SHA-256 of all their bytes, larger ones a sampled digest."""

VARIABLES = (
    "LANG", "LC_ALL", "TZ", "PYTHONHASHSEED",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "CUDA_VISIBLE_DEVICES", "CONDA_DEFAULT_ENV",
    "SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_CPUS_PER_TASK",
    "SLURM_MEM_PER_NODE", "SLURM_CLUSTER_NAME",
)  # fmt: skip
"""Environment variables that are recorded; all others may hold secrets and never are."""


def capture_workflow(
    folder: str | os.PathLike[str],
    *,
    name: str = "fovflow",
    patterns: Iterable[str] = WORKFLOW_FILES,
) -> dict[str, Any]:
    """Return which code runs.

    `folder`: of the Snakefile, or of a script. `patterns`: of the files below it whose digests are
    recorded. The keys are ``name``; ``version`` of fovflow; ``files``: SHA-256 by name relative to
    `folder`; and, null where `folder` holds no files under version control, ``repository`` (URL
    without credentials), ``commit``, ``branch``, ``dirty``, ``dirty_files`` (changed since the
    commit), ``diff_sha256`` (of ``git diff --binary --full-index HEAD``) and ``untracked``.
    """
    import fovflow

    root = Path(folder)
    found = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    files = {path.relative_to(root).as_posix(): sha256_or_none(path) for path in found}
    return {
        "name": name,
        "version": fovflow.__version__,
        **git_state(root),
        "files": dict(sorted(files.items())),
    }


def capture_environment() -> dict[str, Any]:
    """Return with what the code runs; of the environment's variables those in `VARIABLES`."""
    import psutil

    linux = hasattr(os, "sched_getaffinity")
    usable = len(os.sched_getaffinity(0)) if linux else os.cpu_count()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "os": platform.platform(),
        "machine": platform.machine(),
        "host": socket.gethostname(),
        "cpu": {"model": _cpu_model(), "logical": os.cpu_count(), "usable": usable},
        "memory_mib": psutil.virtual_memory().total >> 20,
        "packages": package_versions(),
        "variables": {key: os.environ[key] for key in VARIABLES if key in os.environ},
    }


def capture_inputs(
    paths: Iterable[str | os.PathLike[str] | Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return size and digest of each input, in the order given.

    `paths`: files, folders, or patterns as for `fovflow.open_raw`; a mapping has ``path``, perhaps
    ``pattern``, and further keys (``name``, ``role``, ``version``, …) that are kept.

    To these come ``bytes`` in all, ``files`` (their number), and ``sha256`` of a single file up to
    `SHA256_BYTES`, else ``digest`` with its definition's name in front: ``sampled-sha256-1:`` as
    defined by `fovflow.readers.fingerprint.fingerprint`, or, for a folder without images,
    ``tree-sha256-1:``, the SHA-256 of one line per file in the order of their names as UTF-8 bytes:
    name relative to the folder, NUL, bytes, NUL, its ``sha256`` or ``digest``, line feed. What
    cannot be read has ``problem`` instead.
    """
    found = []
    for item in paths:
        given = dict(item) if isinstance(item, Mapping) else {"path": item}
        path = str(os.fspath(given["path"]))
        pattern = given.get("pattern")
        try:
            several = pattern if pattern is None or isinstance(pattern, list) else str(pattern)
            content = _digest(path, several)
        except (FovflowError, OSError) as error:
            content = {"bytes": None, "files": None, "problem": str(error)}
        found.append({**given, "path": path, **content})
    return found


def package_versions() -> dict[str, str]:
    """Return the version of every installed package by its name, sorted."""
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    for item in distributions():
        if name := item.metadata["Name"]:
            found.setdefault(name.lower().replace("_", "-"), item.version)
    return dict(sorted(found.items()))


def _digest(path: str, pattern: Pattern | None = None) -> dict[str, Any]:
    from fovflow.readers.fingerprint import fingerprint, raw_files

    place = Path(path).expanduser()
    try:
        files = raw_files(place, pattern)
    except FovflowError:
        if place.is_dir():
            return _tree(place)
        if not place.is_file():
            raise
        files = [place]  # an empty file
    size = sum(file.stat().st_size for file in files)
    if len(files) == 1 and place.is_file() and size <= SHA256_BYTES:
        return {"bytes": size, "files": 1, "sha256": digest_of(place).sha256}
    return {"bytes": size, "files": len(files), "digest": fingerprint(place, pattern)}


def _tree(folder: Path) -> dict[str, Any]:
    """Return the digest of a folder of any files; see `capture_inputs`."""
    lines, total = [], 0
    for file in (Path(where) / name for where, _, names in os.walk(folder) for name in names):
        one = _digest(os.fspath(file))
        total += one["bytes"]
        digest = one.get("sha256") or one["digest"]
        relative = file.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        lines.append(relative + f"\0{one['bytes']}\0{digest}\n".encode())
    digest = hashlib.sha256(b"".join(sorted(lines))).hexdigest()
    return {"bytes": total, "files": len(lines), "digest": f"tree-sha256-1:{digest}"}


def _cpu_model() -> str | None:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:(.*)", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or None


def copy_workflow(
    folder: Path, source: str | os.PathLike[str]
) -> tuple[dict[str, Digest], dict[str, str]]:
    """Copy the workflow's files; return their digests, and the script of each step."""
    root = Path(source)
    digests: dict[str, Digest] = {}
    scripts: dict[str, str] = {}
    for pattern in WORKFLOW_FILES:
        for path in sorted(root.glob(pattern)):
            name = f"{FOLDER}/workflow/{path.relative_to(root).as_posix()}"
            text = path.read_text(encoding="utf-8")
            digests[name] = write_if_changed(folder / name, text)
            if path.suffix == ".py":
                scripts[path.stem] = name
    if not digests:
        raise FovflowError(f"there is no workflow in {root}", found="no Snakefile")
    for old in (folder / FOLDER / "workflow").rglob("*"):  # of another version
        if old.is_file() and old.relative_to(folder).as_posix() not in digests:
            old.unlink()
    return digests, scripts
