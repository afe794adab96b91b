"""Copy what a run left behind to another place: resumable, checked, never twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fovflow.atomic import Digest, digest_of, is_temporary, temporary_name, was_left
from fovflow.errors import FovflowError
from fovflow.events import FINAL, EventFile, lines_of
from fovflow.jobrecord import read_record
from fovflow.layout import ANALYSIS, LOGS, PLAN_NAME, REPORT_NAME, RESULTS_NAME, STAMP_NAME
from fovflow.records import leads_out, read_json, read_yaml
from fovflow.runs.assets import is_of_script, last_of
from fovflow.runs.checks import listed_paths
from fovflow.runs.crate import FILE_NAME
from fovflow.runs.provenance import FOLDER
from fovflow.runs.state import outputs_of, read_with_files
from fovflow.runs.store import RunFolder, runs_until
from fovflow.userfiles import open_regular


class ChangedError(Exception):
    """A source file is not what its job recorded."""


class Place:
    """Where things are published: a folder of any file system."""

    def __init__(self, destination: str):
        import fsspec

        if not destination.strip():
            raise FovflowError("publish: the destination is empty", remedy="name a folder")
        try:
            self._system, self._base = fsspec.core.url_to_fs(destination)
        except (ImportError, ValueError) as error:
            raise FovflowError(
                f"cannot open {destination}",
                found=str(error),
                remedy="give a folder, or a URL of a file system whose driver is installed",
            ) from error
        self._url = self._system.unstrip_protocol(self._base)
        self._tidied: set[str] = set()

    @property
    def slug(self) -> str:
        """A short name of the place, for the file of its state."""
        return hashlib.sha256(self._url.encode()).hexdigest()[:12]

    def lies_in(self, folder: Path) -> bool:
        """Tell whether the place is a local folder, or is inside it."""
        local = "file" in self._system.protocol or self._system.protocol == "file"
        return local and Path(self._base).resolve().is_relative_to(folder.resolve())

    def _name(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}"

    def digest(self, path: str) -> Digest | None:
        """Return the digest of what stands in the place; None where there is nothing."""
        try:
            with self._system.open(self._name(path), "rb") as file:
                return digest_of(file)
        except FileNotFoundError:
            return None

    def copy(self, source: Path, path: str, expected: Digest | None) -> Digest:
        """Copy a file under a temporary name, check the copy, and rename it.

        Others may publish into the same place meanwhile: each has temporary files of its own.
        """
        target = self._name(path)
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/{temporary_name(name)}"
        self._system.makedirs(folder, exist_ok=True)
        self._tidy(folder)
        with ExitStack() as undo:
            undo.callback(self._remove, temporary)
            with self._system.open(temporary, "wb") as file:
                read = digest_of(source, each=file.write)
            if expected is not None and read != expected:
                raise ChangedError(
                    f"it was changed since it was made: SHA-256 {read.sha256[:16]}…, recorded "
                    f"{expected.sha256[:16]}…"
                )
            with self._system.open(temporary, "rb") as file:
                if digest_of(file) != read:
                    raise OSError(f"the copy of {path} differs from the original")
            self._system.mv(temporary, target)
            undo.pop_all()
        return read

    def _tidy(self, folder: str) -> None:
        """Remove what dead publishers left half written in a folder, which is looked at once."""
        if folder not in self._tidied:
            self._tidied.add(folder)
            with suppress(Exception):
                for name in filter(is_temporary, self._system.ls(folder, detail=False)):
                    if was_left(name, self._system.modified(name).timestamp()):
                        self._remove(name)

    def _remove(self, name: str) -> None:
        with suppress(Exception):
            self._system.rm(name)


ATTEMPTS = 5
"""How often one item is tried."""

FIRST_PAUSE_S = 0.5
"""Pause before the second attempt; each further one is twice as long."""

_ROOT_NAMES = (RESULTS_NAME, PLAN_NAME, STAMP_NAME, FILE_NAME)


@dataclass(frozen=True, slots=True)
class Item:
    """A file to publish: its name relative to the output folder, and its recorded digest."""

    path: str
    digest: Digest | None = None


@dataclass(slots=True)
class Published:
    """What came of publishing: names of items, and the bytes that were copied."""

    copied: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """These stood there already and were found right."""
    repaired: list[str] = field(default_factory=list)
    """Those of `copied` whose earlier copy was found damaged or missing."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why items could not be copied."""
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return asdict(self)


def items_of(run: RunFolder, failed: dict[str, str] | None = None) -> list[Item]:
    """Return what belongs to a run: outputs that exist, their records and manifests, the run.

    A run that failed has the outputs that it made before it did. To a script's run belongs its own
    folder only. `failed` takes, by name, what cannot be published: names that lead out of the
    folder, damaged records, and outputs that the results file names and that are gone.
    """
    outdir, failed = run.outdir, {} if failed is None else failed
    alone = is_of_script(run.known())
    outputs = {} if alone else outputs_of(run, records=True)
    found: dict[str, Item] = {}
    for told, output in outputs.items():
        try:
            if output.file(outdir).is_file():
                found[told] = Item(told, output.digest)
        except FovflowError as error:
            failed[told] = str(error)
    datasets = sorted({output.job.dataset for output in outputs.values()} - {""})
    datasets = [dataset for dataset in datasets if not leads_out(outdir, dataset)]
    if REPORT_NAME in found and not (outdir / LOGS / "report.json").exists():
        found[REPORT_NAME] = Item(REPORT_NAME)  # made again by no job
    folders = [outdir, outdir / ANALYSIS, *(outdir / dataset for dataset in datasets)]
    for folder in () if alone else folders:
        for path in _companions(folder):
            name = path.relative_to(outdir).as_posix()
            # Files that are brought up to date after their job have no digest that stays.
            found[name] = Item(name)
    for path in sorted(run.path.rglob("*")):
        if path.is_file() and path.name != "heartbeat" and not path.name.startswith("publish-"):
            name = f"runs/{run.id}/{path.relative_to(run.path).as_posix()}"
            found[name] = Item(name)
    _take_assets(run, found, failed)
    failed |= {name: "it is not there" for d in datasets for name in _missing(outdir, d)}
    for place in sorted(found):
        if problem := leads_out(outdir, place):
            failed[place] = f"it {problem}"
            del found[place]
    failed |= _damages(run, outdir, found)
    return [found[place] for place in sorted(found)]


def _missing(outdir: Path, dataset: str) -> Iterator[str]:
    """Yield the outputs that a dataset's results file names and that are not there."""
    with suppress(FovflowError):  # `_damages` tells of a file that cannot be read
        content = read_yaml(outdir / dataset / RESULTS_NAME)
        paths = content.get("results_paths") if isinstance(content, dict) else None
        for name in listed_paths(paths):
            path = f"{dataset}/{name}"
            if not leads_out(outdir, path) and not (outdir / path).exists():
                yield path


def _take_assets(run: RunFolder, found: dict[str, Item], failed: dict[str, str]) -> None:
    """Say what the files of scripts should be, and which of them are gone."""
    for asset in last_of(read_with_files(run).assets):
        name = f"runs/{run.id}/{asset.path}"
        if name in found:
            found[name] = Item(name, asset.digest)
        elif asset.mode != "reference" and (problem := asset.problem(run.path)):
            failed[name] = problem


def _damages(run: RunFolder, outdir: Path, found: Iterable[str]) -> dict[str, str]:
    """Return which records are damaged and how, by name; they are published as they are.

    Events of earlier runs count, too: they tell which outputs there are.
    """
    others = [run] if is_of_script(run.known()) else runs_until(run)[0]
    damages = {
        f"runs/{other.id}/{file}": problem
        for other in others
        for file, problem in read_with_files(other).damages().items()
    }
    for name in found:
        path, parts = outdir / name, name.split("/")
        try:
            if parts[0] == "runs":
                if path == run.path / "run.json":
                    run.read_record()
            elif path.name == RESULTS_NAME:
                read_yaml(path)
            elif path.suffix == ".json" and LOGS in parts:
                if read_record(path) is None:
                    damages[name] = "no record of a job"
            elif path.suffix == ".json" and not isinstance(read_json(path), dict):
                damages[name] = "no JSON object"
        except FovflowError as error:
            damages[name] = str(error)
    return {name: f"damaged: {problem}" for name, problem in damages.items()}


def _companions(folder: Path) -> Iterator[Path]:
    """Yield a dataset's records, and the files that describe it."""
    for name in _ROOT_NAMES:
        if (folder / name).is_file():
            yield folder / name
    for part in (LOGS, FOLDER):
        yield from sorted(path for path in (folder / part).rglob("*") if path.is_file())


def publish(
    run: RunFolder,
    destination: str,
    *,
    advance: Callable[[str, int, int], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Copy a run's outputs, with the records that tell what they are.

    Safe to interrupt and to repeat: what is there already and right is not copied again; what is
    damaged or missing there is. Each copy is read back and compared. A source file that is not what
    its job recorded is not published. Results that were not published from this output folder are
    not replaced.

    `destination`: a folder, or a URL of any file system that fsspec knows, such as
    ``s3://bucket/plate1``. `advance`: called with an item's name, the number of bytes done since
    the last call, and the total. `sleep`: waits between two attempts. Raises FovflowError if the
    destination cannot be opened, lies in the run's own output folder, or holds other results.
    """
    place = Place(destination)
    outdir = run.outdir
    if place.lies_in(outdir):
        raise FovflowError(
            f"{destination} lies in the output folder itself", remedy="publish into another place"
        )
    if run.status() not in FINAL:
        raise FovflowError(f"the run {run.id} is at work", remedy="publish it when it has ended")
    failed: dict[str, str] = {}
    items = items_of(run, failed)
    _refuse_others(place, outdir, items)
    sizes = [(outdir / item.path).stat().st_size for item in items]
    state, done = State(run.path / f"publish-{place.slug}.jsonl"), Published(failed=failed)
    for item, size in zip(items, sizes, strict=True):
        if why := _attempted(partial(_publish_item, item, outdir, place, state, done), sleep):
            failed[item.path] = why
        if advance is not None:
            advance(item.path, size, sum(sizes))
    return done


def _refuse_others(place: Place, outdir: Path, items: Iterable[Item]) -> None:
    """Refuse a place with results of the same names that no run of this folder has put there."""
    ours = [State(file) for file in outdir.glob(f"runs/*/publish-{place.slug}.jsonl")]
    for item in items:
        name = item.path.rpartition("/")[2]
        telling = name in (*_ROOT_NAMES, REPORT_NAME) and not item.path.startswith("runs/")
        if telling and not any(state.digest(item.path) for state in ours):
            there = None
            with suppress(Exception):  # which is told where the item is copied
                there = place.digest(item.path)
            if there not in (None, digest_of(outdir / item.path)):
                raise FovflowError(
                    "the destination holds other results",
                    found=f"another {item.path}, which was not published from {outdir}",
                    remedy="publish into a folder of its own",
                )


def _attempted(work: Callable[[], object], sleep: Callable[[float], None]) -> str:
    """Do some work, again where it fails; return why it could not be done."""
    why = ""
    for number in range(ATTEMPTS):
        if number:
            sleep(FIRST_PAUSE_S * 2 ** (number - 1))
        try:
            work()
        except ChangedError as error:
            return str(error)
        except Exception as error:  # file systems raise errors of many kinds
            why = f"{str(error) or type(error).__name__} ({ATTEMPTS} attempts)"
        else:
            return ""
    return why


def _publish_item(item: Item, outdir: Path, place: Place, state: State, done: Published) -> None:
    """Copy an item where it is not there yet."""
    source, known = outdir / item.path, state.digest(item.path)
    wanted = item.digest or digest_of(source)
    if place.digest(item.path) == wanted:
        if known != wanted:
            state.done(item.path, wanted)
        done.kept.append(item.path)
        return
    made = place.copy(source, item.path, item.digest)
    state.done(item.path, made)
    done.copied.append(item.path)
    done.bytes += made.bytes
    if known == wanted:
        done.repaired.append(item.path)


class State:
    """Which items were copied, with their digests: a line each, appended as they are done."""

    def __init__(self, path: Path):
        self._path = path
        self._done: dict[str, Digest] = {}
        with suppress(OSError), open_regular(path) as file:
            for line in lines_of(file.read()):
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    entry = json.loads(line)
                    self._done[entry["path"]] = Digest(entry["bytes"], entry["sha256"])

    def digest(self, path: str) -> Digest | None:
        """Return the digest of an item's last good copy."""
        return self._done.get(path)

    def done(self, path: str, digest: Digest) -> None:
        """Note that an item was copied and checked."""
        self._done[path] = digest
        entry = {"path": path, **asdict(digest)}
        with closing(EventFile(self._path)) as file:
            file.append(json.dumps(entry, ensure_ascii=False) + "\n")
