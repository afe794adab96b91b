"""Files and objects that are kept with a run, and outputs of executions."""

from __future__ import annotations

import mimetypes
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, atomic_open, digest_of, write_text
from fovflow.errors import ConfigError, FovflowError
from fovflow.records import not_json
from fovflow.runs.arguments import check_choice, safe_name
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
        return digest_of(source, each=file.write)


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


MODES = ("link", "copy")
_TERM = re.compile(r"\w[\w .+-]*")


class Outputs:
    """The folder ``outputs/{type}/`` of an execution.

    Parameters
    ----------
    run : path-like
        The execution's folder.
    """

    def __init__(self, run: str | os.PathLike[str]):
        self.run = Path(run)
        self.folder = self.run / "outputs"
        self._promised: dict[Path, str] = {}

    def new_path(self, kind: str, name: str | os.PathLike[str]) -> Path:
        """Return where a new file goes, and remember it; see `Execution.output_path`."""
        target = self._target(kind, name)
        self._promised[target] = kind
        return target

    def register(
        self, path: str | os.PathLike[str], kind: str, mode: str, rename: str | None
    ) -> tuple[Path, dict[str, Any]]:
        """Link or copy an existing file; return its place and the keys of its event."""
        check_choice("mode", mode, MODES)
        source = Path(path)
        if not source.is_file():
            raise FovflowError(
                f"there is no file {source} to register",
                found="a folder" if source.is_dir() else "nothing",
                remedy="register files, one by one",
            )
        target = self._target(kind, source.name if rename is None else rename)
        if mode == "copy":
            self._copy(source, target)
        else:
            try:
                target.symlink_to(source.resolve())
            except FileExistsError:
                raise self._collision(target) from None
        return target, self.describe(target, kind)

    def written(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the events of promised files that were made, and the names of those not made."""
        made, absent = [], []
        for path, kind in self._promised.items():
            if path.exists():
                made.append(self.describe(path, kind))
            else:
                absent.append(path.relative_to(self.run).as_posix())
        self._promised.clear()
        return made, absent

    def describe(self, path: Path, kind: str) -> dict[str, Any]:
        """Return the keys of an event ``artifact`` for an output."""
        about: dict[str, Any] = {
            "path": path.relative_to(self.run).as_posix(),
            "category": "output",
            "name": path.name,
            "types": [kind],
            "mode": "link" if path.is_symlink() else "copy",
            "filetype": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        }
        if path.is_dir():
            from fovflow.runs.provenance import capture_inputs

            (found,) = capture_inputs([path])
            return {
                **about, "filetype": "inode/directory", "bytes": found["bytes"],
                "sha256": found.get("digest"),
            }  # fmt: skip
        digest = digest_of(path)
        return {**about, "bytes": digest.bytes, "sha256": digest.sha256}

    def _target(self, kind: str, name: str | os.PathLike[str]) -> Path:
        """Return the place of an output, which is free and inside the folder."""
        if not isinstance(kind, str) or not _TERM.fullmatch(kind) or ".." in kind:
            raise ConfigError(
                f"the type {kind!r} is no word that can name a folder",
                remedy="use letters, digits, spaces and _ - . +",
            )
        target = self.folder / kind / safe_name("name", name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise FovflowError(f"{target.parent} is a file and can hold no outputs") from None
        if not target.parent.resolve().is_relative_to(self.folder.resolve()):
            raise FovflowError(f"{target.parent} is a link that leads out of the outputs")
        if target in self._promised or os.path.lexists(target):
            raise self._collision(target)
        return target

    def _collision(self, target: Path) -> FovflowError:
        return FovflowError(
            f"there is an output {target.relative_to(self.folder).as_posix()!r} already",
            remedy="give it another name, or rename=",
        )

    def _copy(self, source: Path, target: Path) -> None:
        """Copy in pieces; take the name only if nothing has it."""
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.draft")
        try:
            copy_stream(source, draft)
            try:
                target.hardlink_to(draft)
            except FileExistsError:
                raise self._collision(target) from None
            except OSError:  # a file system without hard links
                if os.path.lexists(target):
                    raise self._collision(target) from None
                draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)


def write_dataset(
    outdir: Path,
    run: Path,
    members: Iterable[str | os.PathLike[str]],
    *,
    name: str,
    version: str,
    description: str,
) -> tuple[Path, dict[str, Any]]:
    """Write the record of a dataset; see `Execution.create_dataset`."""
    for what, term in (("name", name), ("version", version)):
        if not isinstance(term, str) or not _TERM.fullmatch(term) or ".." in term:
            raise ConfigError(
                f"the {what} {term!r} of a dataset is no word",
                remedy="use letters, digits and _ - . +, as in 1.0.0",
            )
    file = f"{name}-{version}.json"
    if isinstance(members, str | os.PathLike):
        raise ConfigError("members of a dataset are a list of paths", found=repr(members))
    paths = list(dict.fromkeys(Path(os.path.abspath(member)) for member in members))  # noqa: PTH100
    absent = [path for path in paths if not path.is_file()]
    if absent or not paths:
        raise FovflowError(
            f"the dataset {name} {version} has a member that is no file",
            found=str(absent[0]) if absent else "no members",
            remedy="write the files first",
        )
    others = [p for p in (outdir / "runs").glob("*/datasets/*.json") if p.name == file]
    target = run / "datasets" / file
    if others or target.exists():
        raise FovflowError(
            f"the dataset {name} has a version {version} already",
            found=str(others[0] if others else target),
            remedy="give the next version",
        )
    content = {
        "schema_version": 1,
        "name": name,
        "version": version,
        "description": description,
        "execution": run.name,
        "members": [_member(path, run.absolute()) for path in paths],
    }
    write_json(target, content)
    return target, content


def _member(path: Path, run: Path) -> dict[str, Any]:
    digest = digest_of(path)
    inside = path.is_relative_to(run)
    shown = path.relative_to(run).as_posix() if inside else os.fspath(path)
    return {"path": shown, "bytes": digest.bytes, "sha256": digest.sha256}
