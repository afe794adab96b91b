"""Files of scripts: kept with a run, made by executions, told by events, and whether they hold."""

from __future__ import annotations

import mimetypes
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from fovflow.atomic import Digest, atomic_open, digest_of, sha256_or_none
from fovflow.errors import ConfigError, FovflowError
from fovflow.records import json_text, leads_out, not_json, without_odd_letters
from fovflow.runs.arguments import check_choice, safe_name

_ATTEMPT = re.compile(r"/attempt-\d+/")


def is_of_script(record: Mapping[str, Any]) -> bool:
    """Tell by its record whether a run is a script's own, or an execution: it has no jobs."""
    return record.get("kind") in ("script", "execution")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, or a folder, of a run: an output of an execution, or what `Run.save` kept."""

    path: str
    """Relative to the run's folder; an input that is recorded by reference has its own path."""
    name: str
    category: str
    """``input``, ``output`` or ``code``."""
    types: tuple[str, ...]
    """What kind of output it is, in the words of the script."""
    mode: str
    """``copy``, ``link`` (of a file elsewhere) or ``reference`` (path and digest only)."""
    bytes: int | None
    sha256: str | None
    """Of several files and of large inputs, a digest with its definition's name in front."""
    time: str
    job: str = ""
    """Name of the job that it was made in; empty for a script's own run."""

    @classmethod
    def of(cls, event: Mapping[str, Any], job: str = "") -> Asset:
        """Return the asset of an event; TypeError where it has values of other kinds."""
        path, size, sha256 = (event.get(key) for key in ("path", "bytes", "sha256"))
        if not isinstance(path, str) or not isinstance(size, int | None):
            raise TypeError("no path, or no size")
        return cls(
            path=path,
            name=str(event.get("name") or path.rpartition("/")[2]),
            category=str(event["category"]),
            types=tuple(map(str, event.get("types") or ())),
            mode=str(event.get("mode") or "copy"),
            bytes=size,
            sha256=sha256 if isinstance(sha256, str) else None,
            time=str(event["time"]),
            job=job,
        )

    @property
    def key(self) -> str:
        """Its path without the number of the attempt: the same in runs that did the same."""
        return _ATTEMPT.sub("/", self.path)

    @property
    def digest(self) -> Digest | None:
        """What the file's content was; None where it is not known of a single file."""
        whole = self.bytes is not None and self.sha256 is not None and ":" not in self.sha256
        return Digest(self.bytes or 0, self.sha256 or "") if whole else None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def misplaced(self, run: Path) -> str:
        """Return why its name is none of a file in the run's folder; empty where it is."""
        wrong = "" if self.mode == "reference" else leads_out(run, self.path)
        return "" if self.mode == "link" and "link" in wrong else wrong

    def problem(self, run: Path) -> str:
        """Return what does not hold of it, in a run's folder; empty where all does."""
        if self.mode == "reference":
            return ""
        if wrong := self.misplaced(run):
            return f"names {self.path!r}, which {wrong}"
        return changed(run / self.path, self.bytes, self.sha256, linked=self.mode == "link")


def changed(path: Path, size: int | None, sha256: str | None, *, linked: bool = False) -> str:
    """Return how a file, or a folder of files, differs from what was recorded of it."""
    place = f"its source {os.path.realpath(path)} " if linked and path.is_symlink() else ""
    if not path.exists():
        return f"{place}is gone" if place else "missing"
    if not (path.is_file() or path.is_dir()):
        return f"{place}is no file".strip()
    if sha256 is None:
        return ""
    now = _sampled(path) if ":" in sha256 else asdict(digest_of(path))
    if now["sha256"] == sha256:
        return ""
    place = place or "its content "
    if now["bytes"] != size:
        return f"{place}was changed: it has {now['bytes']} bytes where {size} are recorded"
    return f"{place}was changed: {str(now['sha256'])[:24]}… where {sha256[:24]}… is recorded"


def _sampled(path: Path) -> dict[str, Any]:
    """Return ``bytes`` and ``sha256`` of a large file or a folder; see `capture_inputs`."""
    from fovflow.runs.provenance import capture_inputs

    (found,) = capture_inputs([path])
    return {"bytes": found["bytes"], "sha256": found.get("sha256") or found.get("digest")}


def last_of(assets: list[Asset]) -> list[Asset]:
    """Return the last state of each file, by its path: what was told last."""
    return list({asset.path: asset for asset in assets}.values())


def problems(run: Path, assets: list[Asset]) -> Iterator[tuple[str, str]]:
    """Yield what does not hold of a run's files: a name relative to its folder, a sentence."""
    for asset in last_of(assets):
        if problem := asset.problem(run):
            yield "events.jsonl" if asset.misplaced(run) else asset.path, problem


CATEGORIES = ("input", "output", "code")
REFERENCE_BYTES = 256 << 20
"""Inputs from this size on are recorded by path and digest, and not copied."""

_BYTES = "application/octet-stream"
_MIME = re.compile(r"[\w.+-]+/[\w.+-]+(;.*)?")


class KeptFiles:
    """The folder with the files and objects that are kept with a run or a job.

    `folder`: below it, each category has a folder. `base`: paths in records are relative to it.
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
            given = os.fspath(path.absolute())
            return {**about, "path": given, **_sampled(path), "mode": "reference"}
        return {**about, **self._keep(category, name, copy_of(path))}

    def keep_object(
        self,
        thing: Any,
        category: str,
        *,
        filetype: str | None,
        name: str | None,
        allow_pickle: bool,
    ) -> dict[str, Any]:
        """Write a Python object, and return the keys of its event ``artifact``."""
        if not name:
            raise ConfigError(
                f"a Python object ({type(thing).__name__}) needs a name to be saved",
                remedy="give name=",
            )
        name = safe_name("name", name)
        suffix, kind, write = _writer(thing, allow_pickle=allow_pickle)
        name = name if name.endswith(suffix) else name + suffix
        about = {"category": category, "name": name, "filetype": filetype or kind}
        return {**about, **self._keep(category, name, write)}

    def _keep(self, category: str, name: str, write: Writer) -> dict[str, Any]:
        """Write content to a name that is free, or that holds the very same already."""
        first = self.folder / category / name
        with _draft(first, write) as draft:
            digest = digest_of(draft)
            for number in range(1, 100_000):
                middle = "" if number == 1 else f"-{number}"
                target = first.with_name(f"{first.stem}{middle}{first.suffix}")
                same = not target.is_symlink() and sha256_or_none(target) == digest.sha256
                if same or _take_name(draft, target):
                    return {**content_of(target, self.base, digest), "mode": "copy"}
        raise FovflowError(f"there are too many files {name!r} in {self.folder / category}")


Writer = Callable[[IO[bytes]], object]
"""Writes content into an open file."""


def copy_of(source: Path) -> Writer:
    """Return what copies a file, in pieces."""
    return lambda file: digest_of(source, each=file.write)


@contextmanager
def _draft(target: Path, write: Writer) -> Iterator[Path]:
    """Write a hidden file beside `target`; it is gone in the end, unless it was renamed."""
    draft = target.with_name(f".{uuid.uuid4().hex}.draft")
    try:
        with atomic_open(draft, "wb") as file:
            write(file)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _take_name(draft: Path, target: Path) -> bool:
    """Give a file a name; False where something has that name, be it a link to nothing."""
    try:
        target.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            return False
        draft.rename(target)
    return True


def content_of(path: Path, base: Path, digest: Digest | None = None) -> dict[str, Any]:
    """Return path, bytes and SHA-256 of a file; the path is relative to `base` where it can be."""
    shown = path.relative_to(base).as_posix() if path.is_relative_to(base) else os.fspath(path)
    return {"path": shown, **asdict(digest or digest_of(path))}


def stored_name(path: Path, *, preserve_path: bool, root: Path | None = None) -> str:
    """Return the name under which a file is kept.

    Without `preserve_path` it is the file's own, or for a file of a folder the one below `root`;
    with it, the path as it was given, made relative. Letters that no name in a record may have are
    ``_``.
    """
    if preserve_path:
        normal = Path(os.path.normpath(path))
        name = "/".join(part for part in normal.parts if part not in (normal.anchor, ".."))
    else:
        name = path.name if root is None else path.relative_to(root).as_posix()
    return without_odd_letters(name or path.name)


def files_below(folder: Path, leave_out: Path) -> Iterator[Path]:
    """Yield all files of a folder in order, without those of the run itself.

    Links to folders, which are not followed, are among them.
    """
    kept = leave_out.resolve()
    for where, names, files in os.walk(folder):
        names[:] = sorted(n for n in names if (Path(where) / n).resolve() != kept)
        links = [name for name in names if (Path(where) / name).is_symlink()]
        yield from (Path(where) / name for name in sorted([*files, *links]))


def check_kind(category: Any, filetype: Any) -> None:
    """Check the category and the MIME type of what is to be kept."""
    check_choice("category", category, CATEGORIES)
    if filetype is not None and not (isinstance(filetype, str) and _MIME.fullmatch(filetype)):
        raise ConfigError("filetype is a MIME type such as image/tiff", found=repr(filetype)[:80])


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file that is there."""
    found = Path(path)
    if found.is_dir():
        raise ConfigError(f"{found} is a folder", remedy="use save_directory for folders")
    if not found.is_file():
        raise ConfigError(f"there is no file {found}", remedy="save a file that is there")
    return found


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _BYTES


def _writer(thing: Any, *, allow_pickle: bool) -> tuple[str, str, Writer]:
    """Return suffix, MIME type and a function that writes the object to a file."""
    module = type(thing).__module__
    if module == "numpy" and hasattr(thing, "dtype") and not thing.dtype.hasobject:
        import numpy as np

        return ".npy", _BYTES, lambda file: np.save(file, thing, allow_pickle=False)
    if module.partition(".")[0] == "pandas" and hasattr(thing, "to_csv"):
        return ".csv", "text/csv", lambda f: f.write(thing.to_csv(lineterminator="\n").encode())
    if callable(getattr(thing, "savefig", None)):
        return ".png", "image/png", lambda file: thing.savefig(file, format="png")
    why = f"an object of type {type(thing).__name__} can only be saved as a pickle"
    if isinstance(thing, dict | list | tuple | int | float | bool | None):
        why = not_json(thing)
        if not why:
            return ".json", "application/json", lambda f: f.write(json_text(thing).encode())
    if not allow_pickle:
        raise ConfigError(
            why,
            remedy="save an array, table, figure or plain values; or allow_pickle=True, which "
            "writes a file that fovflow itself never opens",
        )
    return ".pkl", _BYTES, lambda file: _write_pickle(thing, file)


def _write_pickle(thing: Any, file: IO[bytes]) -> None:
    import pickle

    try:
        pickle.dump(thing, file)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"an object of type {type(thing).__name__} cannot be pickled", found=str(error)
        ) from error


Types = str | Iterable[str]
"""One type of an output, or several."""

MODES = ("link", "copy")
_TERM = re.compile(r"\w[\w .+-]*")
MOST_OF_TERM = 120
"""Longest term, in bytes."""


class Outputs:
    """The folder ``outputs/{type}/`` of an execution.

    `run`: the execution's folder. `announced`: types of outputs that were announced before and
    never recorded, by path, where the execution was killed.
    """

    def __init__(self, run: str | os.PathLike[str], announced: Mapping[str, tuple[str, ...]]):
        self.run = Path(run)
        self.folder = self.run / "outputs"
        self._promised = {
            self.run / path: types
            for path, types in announced.items()
            if not leads_out(self.run, path)
        }
        self._earlier = set(self._promised)

    def new_path(self, types: Types, name: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
        """Return where a new file goes, and the keys of the event that announces it."""
        terms = check_types(types)
        target = self._target(terms, name)
        self._promised[target] = tuple(terms)
        self._earlier.discard(target)
        return target, {"path": target.relative_to(self.run).as_posix(), "types": terms}

    def register(
        self, path: str | os.PathLike[str], types: Types, mode: str, rename: str | None
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
        terms = check_types(types)
        target = self._target(terms, source.name if rename is None else rename)
        if mode == "copy":
            with _draft(target, copy_of(source)) as draft:
                taken = _take_name(draft, target)
        else:
            try:
                target.symlink_to(source.resolve())
                taken = True
            except FileExistsError:
                taken = False
        if not taken:
            raise self._collision(target)
        return target, self.describe(target, terms)

    def written(self) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        """Return events of promised files that were made, those not made, and what is amiss."""
        made, absent, bad = list[dict[str, Any]](), list[str](), list[str]()
        for path, types in self._promised.items():
            name = path.relative_to(self.run).as_posix()
            try:
                if path.exists():
                    made.append(self.describe(path, types))
                else:
                    absent.append(name)
            except (FovflowError, OSError) as error:  # the others are recorded
                bad.append(f"{name}: {getattr(error, 'strerror', None) or error}")
        self._promised.clear()
        return made, absent, bad

    def describe(self, path: Path, types: Iterable[str]) -> dict[str, Any]:
        """Return the keys of an event ``artifact`` for an output."""
        about: dict[str, Any] = {
            "category": "output",
            "name": path.name,
            "types": list(types),
            "mode": "link" if path.is_symlink() else "copy",
            "filetype": _guess(path.name),
        }
        if not path.is_dir():
            return about | content_of(path, self.run)
        name = path.relative_to(self.run).as_posix()
        return {**about, "filetype": "inode/directory", "path": name, **_sampled(path)}

    def _target(self, types: list[str], name: str | os.PathLike[str]) -> Path:
        """Return the place of an output, which is free and in the folder of its first type."""
        if not types:
            raise ConfigError("an output needs a type", remedy='such as "Table"')
        target = self.folder / types[0] / safe_name("name", name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise FovflowError(f"{target.parent} is a file and can hold no outputs") from None
        if not target.parent.resolve().is_relative_to(self.folder.resolve()):
            raise FovflowError(f"{target.parent} is a link that leads out of the outputs")
        if target in self._promised.keys() - self._earlier or os.path.lexists(target):
            raise self._collision(target)
        return target

    def _collision(self, target: Path) -> FovflowError:
        return FovflowError(
            f"there is an output {target.relative_to(self.folder).as_posix()!r} already",
            remedy="give it another name, or rename=",
        )


def is_term(term: Any) -> bool:
    """Tell whether a text is a word, perhaps of several parts, that can name a file or folder."""
    word = isinstance(term, str) and bool(_TERM.fullmatch(term)) and ".." not in term
    return word and len(term.encode()) <= MOST_OF_TERM


def check_types(types: Types) -> list[str]:
    """Return types, each once."""
    one = isinstance(types, str) or not isinstance(types, Iterable)
    found: list[Any] = [types] if one else list(dict.fromkeys(types))
    wrong = [term for term in found if not is_term(term)]
    if wrong:
        raise ConfigError(
            f"the type {wrong[0]!r} is no word that can name a folder",
            remedy="use letters, digits, spaces and _ - . +",
        )
    return found
