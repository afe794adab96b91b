"""Outputs of an execution: new files, links and copies, each under a name of its own."""

from __future__ import annotations

import mimetypes
import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fovflow.atomic import digest_of
from fovflow.errors import ConfigError, FovflowError
from fovflow.runs.arguments import check_choice, safe_name
from fovflow.runs.saving import copy_stream
from fovflow.tables import write_json

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
