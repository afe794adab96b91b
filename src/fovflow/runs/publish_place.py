"""A place where files are published: a folder of any file system that fsspec knows."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from fovflow.atomic import Digest
from fovflow.errors import FovflowError
from fovflow.runs.pieces import digest_of_pieces, pieces_in, pieces_of


class ChangedError(Exception):
    """A source file is not what its job recorded."""


class Place:
    """Where things are published: a folder of any file system."""

    def __init__(self, destination: str):
        import fsspec

        try:
            self._system, self._base = fsspec.core.url_to_fs(destination)
        except (ImportError, ValueError) as error:
            raise FovflowError(
                f"cannot open {destination}",
                found=str(error),
                remedy="give a folder, or a URL of a file system whose driver is installed",
            ) from error
        self._url = self._system.unstrip_protocol(self._base)

    @property
    def slug(self) -> str:
        """A short name of the place, for the file of its state."""
        return hashlib.sha256(self._url.encode()).hexdigest()[:12]

    def is_folder(self, folder: Path) -> bool:
        """Tell whether the place is a local folder."""
        local = "file" in self._system.protocol or self._system.protocol == "file"
        return local and Path(self._base).resolve() == folder.resolve()

    def _name(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}"

    def digest(self, path: str) -> Digest | None:
        """Return the digest of what stands in the place; None where there is nothing."""
        try:
            with self._system.open(self._name(path), "rb") as file:
                return digest_of_pieces(pieces_in(file))
        except FileNotFoundError:
            return None

    def copy(self, source: Path, path: str, expected: Digest | None) -> Digest:
        """Copy a file under a temporary name, check the copy, and rename it."""
        target = self._name(path)
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/.{name}.part"
        self._system.makedirs(folder, exist_ok=True)
        with self._system.open(temporary, "wb") as file:
            read = digest_of_pieces(pieces_of(source), each=file.write)
        if expected is not None and read != expected:
            self._remove(temporary)
            raise ChangedError(
                f"it was changed since it was made: SHA-256 {read.sha256[:16]}…, recorded "
                f"{expected.sha256[:16]}…"
            )
        with self._system.open(temporary, "rb") as file:
            written = digest_of_pieces(pieces_in(file))
        if written != read:
            self._remove(temporary)
            raise OSError(f"the copy of {path} differs from the original")
        self._system.mv(temporary, target)
        return read

    def _remove(self, name: str) -> None:
        with suppress(Exception):
            self._system.rm(name)
