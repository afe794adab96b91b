"""Keep files and Python objects with a run."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, atomic_open, digest_of, write_text
from fovflow.errors import ConfigError, FovflowError
from fovflow.records import not_json
from fovflow.runs.arguments import check_choice, safe_name
from fovflow.runs.pieces import digest_of_pieces, pieces_of
from fovflow.tables import write_json

CATEGORIES = ("input", "output", "code")
REFERENCE_BYTES = 256 << 20
"""Inputs from this size on are recorded by path and digest, and not copied."""

_MIME = re.compile(r"[\w.+-]+/[\w.+-]+(;.*)?")


class Cabinet:
    """The folder with what is kept of one run or job.

    Parameters
    ----------
    folder : path-like
        Below it, each category has a folder.
    base : path-like
        Paths in records are relative to it.
    """

    def __init__(self, folder: str | os.PathLike[str], base: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.base = Path(base)

    def keep_file(
        self, path: Path, category: str, *, filetype: str | None, name: str
    ) -> dict[str, Any]:
        """Copy a file, and return the keys of its event ``artifact``."""
        size = path.stat().st_size
        about = {"category": category, "name": name, "filetype": filetype or _guess(path.name)}
        if category == "input" and size >= REFERENCE_BYTES:
            from fovflow.runs.provenance import capture_inputs

            (found,) = capture_inputs([path])
            digest = found.get("sha256") or found.get("digest")
            given = os.fspath(path.absolute())
            return {**about, "path": given, "bytes": size, "sha256": digest, "mode": "reference"}
        digest = digest_of(path)
        target = self._free(category, name, digest.sha256)
        if not target.exists():
            digest = copy_stream(path, target)
        return {
            **about, **self._where(target), "bytes": digest.bytes, "sha256": digest.sha256,
            "mode": "copy",
        }  # fmt: skip

    def keep_object(
        self, thing: Any, category: str, *, filetype: str | None, name: str, allow_pickle: bool
    ) -> dict[str, Any]:
        """Write a Python object, and return the keys of its event ``artifact``."""
        suffix, kind, write = _writer(thing, allow_pickle=allow_pickle)
        name = name if name.endswith(suffix) else name + suffix
        draft = self.folder / category / f".{os.getpid()}-{id(thing)}{suffix}"
        try:
            write(draft)
            digest = digest_of(draft)
            target = self._free(category, name, digest.sha256)
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return {
            "category": category, "name": name, "filetype": filetype or kind,
            **self._where(target), "bytes": digest.bytes, "sha256": digest.sha256, "mode": "copy",
        }  # fmt: skip

    def _where(self, target: Path) -> dict[str, str]:
        return {"path": target.relative_to(self.base).as_posix()}

    def _free(self, category: str, name: str, sha256: str) -> Path:
        """Return where content goes: a name that is free, or holds the very same already."""
        first = self.folder / category / name
        for number in range(1, 100_000):
            middle = "" if number == 1 else f"-{number}"
            target = first.with_name(f"{first.stem}{middle}{first.suffix}")
            if not target.is_symlink():
                if not target.exists():
                    return target
                with suppress(OSError):
                    if digest_of(target).sha256 == sha256:
                        return target
        raise FovflowError(f"there are too many files {name!r} in {self.folder / category}")


def stored_name(path: Path, *, preserve_path: bool, root: Path | None = None) -> str:
    """Return the name under which a file is kept.

    Without `preserve_path` it is the file's own, or for a file of a folder the one below `root`;
    with it, the path as it was given, made relative.
    """
    if not preserve_path:
        return path.name if root is None else path.relative_to(root).as_posix()
    normal = Path(os.path.normpath(path))
    parts = [part for part in normal.parts if part not in (normal.anchor, "..")]
    return "/".join(parts) or path.name


def files_below(folder: Path, leave_out: Path) -> Iterator[Path]:
    """Yield all files of a folder in order, without those of the run itself."""
    kept = leave_out.resolve()
    for where, names, files in os.walk(folder):
        names[:] = sorted(n for n in names if (Path(where) / n).resolve() != kept)
        yield from (Path(where) / name for name in sorted(files))


def check_category(category: Any) -> str:
    """Return the category."""
    return check_choice("category", category, CATEGORIES)


def check_filetype(filetype: Any) -> str | None:
    """Return a MIME type."""
    if filetype is not None and not (isinstance(filetype, str) and _MIME.fullmatch(filetype)):
        raise ConfigError("filetype is a MIME type such as image/tiff", found=repr(filetype)[:80])
    return filetype


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file that is there."""
    found = Path(path)
    if found.is_dir():
        raise ConfigError(f"{found} is a folder", remedy="use save_directory for folders")
    if not found.is_file():
        raise ConfigError(f"there is no file {found}", remedy="save a file that is there")
    return found


def copy_stream(source: Path, target: Path) -> Digest:
    """Copy a file in pieces, whole or not at all; return the digest of what was copied."""
    with atomic_open(target, "wb") as file:
        return digest_of_pieces(pieces_of(source), each=file.write)


def object_name(thing: Any, name: str | None) -> str:
    """Return the name of a Python object."""
    if not name:
        raise ConfigError(
            f"a Python object ({type(thing).__name__}) needs a name to be saved",
            remedy="give name=",
        )
    return safe_name("name", name)


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


_Writer = tuple[str, str, Callable[[Path], None]]


def _writer(thing: Any, *, allow_pickle: bool) -> _Writer:
    """Return suffix, MIME type and a function that writes the object to a file."""
    module = type(thing).__module__
    if module == "numpy" and hasattr(thing, "dtype") and not thing.dtype.hasobject:
        return ".npy", "application/octet-stream", _as_npy(thing)
    if module.partition(".")[0] == "pandas" and hasattr(thing, "to_csv"):
        return ".csv", "text/csv", lambda path: write_text(path, thing.to_csv(lineterminator="\n"))
    if callable(getattr(thing, "savefig", None)):
        return ".png", "image/png", _as_png(thing)
    why = f"an object of type {type(thing).__name__} can only be saved as a pickle"
    if isinstance(thing, dict | list | tuple | int | float | bool | None):
        why = not_json(thing)
        if not why:
            return ".json", "application/json", lambda path: write_json(path, thing)
    if not allow_pickle:
        raise ConfigError(
            why,
            remedy="save an array, table, figure or plain values; or allow_pickle=True, which "
            "writes a file that fovflow itself never opens",
        )
    return ".pkl", "application/octet-stream", _as_pickle(thing)


def _as_npy(array: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import numpy as np

        with atomic_open(path, "wb") as file:
            np.save(file, array, allow_pickle=False)

    return write


def _as_png(figure: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with atomic_open(path, "wb") as file:
            figure.savefig(file, format="png")

    return write


def _as_pickle(thing: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import pickle

        try:
            with atomic_open(path, "wb") as file:
                pickle.dump(thing, file)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"an object of type {type(thing).__name__} cannot be pickled", found=str(error)
            ) from error

    return write
