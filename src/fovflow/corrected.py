"""Corrected fluorescence: the model of a stack's background in a file, and frames made of it again.

The file is an npz archive, not compressed: ``settings``, JSON of what the corrector was made with,
and the dark frame and flat-field, (Y, X), where they are images; ``factors``, (T,) that undo
bleaching; ``missing``, (T,) bool; and ``numbers``, (T, n) float64, see `ModelledCorrector`, NaN for
missing frames. Of a method without such numbers it holds ``corrected``, the (T, Y, X) frames, in
place of numbers and images.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Self
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from fovflow.atomic import atomic_open
from fovflow.background import get_corrector
from fovflow.background.corrector import (
    Corrector,
    Indices,
    ModelledCorrector,
    Numbers,
    Surface,
)
from fovflow.background.stack import scaled
from fovflow.errors import explained
from fovflow.features.views import Pixels
from fovflow.records import REMAKE
from fovflow.stacks import StackReader, read_array, write_header
from fovflow.userfiles import open_regular

STACK = "corrected.npy"
"""Name of the frames in the file of a method that gives no numbers."""


IMAGES = ("dark", "flat_field")
"""Parameters of `get_corrector` that may be images, which the file then holds."""


@contextmanager
def model_writer(
    path: str | os.PathLike[str],
    shape: tuple[int, int, int],
    corrector: Corrector,
    *,
    factors: Numbers,
    missing: NDArray[np.bool_],
    arguments: Mapping[str, Any],
) -> Iterator[Callable[[Surface], object]]:
    """Write the model of a corrected stack, atomically.

    `shape`: (T, Y, X). `factors`, `missing`: (T,). `arguments`: those of `get_corrector`. Yields
    what takes each corrected frame, right after it was made.
    """
    numbers: list[Numbers] = []
    with atomic_open(path, "wb") as file, ZipFile(file, "w", ZIP_STORED) as archive:

        def write(name: str, array: NDArray[Any]) -> None:
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), content.getvalue())

        images = {name: arguments[name] for name in IMAGES if np.ndim(arguments.get(name, 0))}
        settings = {name: value for name, value in arguments.items() if name not in images}
        write("settings", np.array(json.dumps(settings, sort_keys=True)))
        write("factors", np.asarray(factors, np.float64))
        write("missing", np.asarray(missing, np.bool_))
        if hasattr(corrector, "remake"):
            modelled: Any = corrector
            yield lambda _: numbers.append(np.array(modelled.model, np.float64).ravel())
            of_frames = np.full((len(missing), numbers[-1].size if numbers else 0), np.nan)
            for t in np.flatnonzero(~missing):
                of_frames[t] = numbers[t]
            write("numbers", of_frames)
            for name, image in images.items():
                write(name, image)
            return
        frames = ZipInfo(STACK)  # its size first: headers that are forced to be long differ
        frames.file_size = 1024 + 4 * math.prod(shape)  # between releases of Python
        with archive.open(frames, "w") as member:
            write_header(member, shape, np.dtype(np.float32))
            yield lambda frame: member.write(np.ascontiguousarray(frame).data.cast("B"))


class CorrectedFrames:
    """The corrected frames of a stack, made of the raw stack and the model of its background.

    `model`, `raw`: their files. Use it as a context manager.

    Raises FovflowError if a file is damaged.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, model: str | os.PathLike[str], raw: str | os.PathLike[str]):
        self.path = Path(model)
        self._numbers: Numbers = np.empty((0, 0))
        self._stack: StackReader | None = None
        self._one_by_one = Lock()
        self._opened = ExitStack()
        with ExitStack() as opened:
            self._raw = opened.enter_context(StackReader(raw))
            self.shape = self._raw.shape
            with self._explained():
                file = opened.enter_context(open_regular(self.path))
                archive = opened.enter_context(ZipFile(file))
                arguments = dict(json.loads(str(_array(archive, "settings"))))
                self._factors = _array(archive, "factors").astype(np.float64)
                self._missing = _array(archive, "missing").astype(np.bool_)
                if STACK in archive.namelist():
                    place = _place(file, archive.getinfo(STACK))
                    self._stack = opened.enter_context(StackReader(self.path, *place))
                else:
                    self._numbers = _array(archive, "numbers").astype(np.float64)
                    there = [name for name in IMAGES if f"{name}.npy" in archive.namelist()]
                    images = {name: _array(archive, name) for name in there}
                found = self._stack.shape if self._stack else (len(self._numbers),)
                of_frames = {len(self._factors), len(self._missing), *found[:1]}
                if found != self.shape[: len(found)] or of_frames != {len(self)}:
                    raise ValueError(f"it is of shape {found}, the raw stack of {self.shape}")
                if self._stack is None:
                    made: Any = get_corrector(shape=self.shape[1:], **(arguments | images))
                    self._corrector: ModelledCorrector = made
                    self._dark = np.asarray((arguments | images).get("dark", 0.0), np.float32)
                    self._shaded = "flat_field" in images
            self._opened = opened.pop_all()

    def __len__(self) -> int:
        return self.shape[0]

    def frame(self, t: int, out: Surface | None = None) -> Surface:
        """Return corrected frame `t`, (Y, X) float32, in `out` where it is given.

        A missing frame is of zeros.
        """
        if self._stack is not None:
            return self._stack.frame(t, out)
        if self._missing[t]:
            return np.zeros(self.shape[1:], np.float32)
        return self._remade(t, self._raw.frame(t), out=out)

    def pixels(self, t: int) -> Surface | Pixels:
        """Return what `fovflow.features.Extractor.add` takes as corrected frame `t`."""
        if self._stack is not None:
            return self._stack.frame(t)
        return _Remade(self, t)

    def _background(self, t: int, at: Indices) -> Surface | None:
        """Return dark level and background at pixels; None where that is what was subtracted."""
        if self._factors[t] == 1 and not self._shaded:
            return None
        dark = self._dark.reshape(-1).take(at) if self._dark.shape else np.full(at.size, self._dark)
        with self._explained(), self._one_by_one:  # corrected counts of no light: less the surface
            return dark - self._corrector.remake(dark, self._numbers[t], at=at)

    def _remade(self, t: int, image: NDArray[Any], **place: Any) -> Surface:
        with self._explained(), self._one_by_one:  # the corrector has one surface for all frames
            corrected = self._corrector.remake(image, self._numbers[t], **place)
        return scaled(corrected, float(self._factors[t]))

    def _explained(self) -> AbstractContextManager[None]:
        message = f"{self.path} is no model of a background"
        return explained(message, *_DAMAGED, remedy=REMAKE)

    def __iter__(self) -> Iterator[Surface]:
        """Iterate over the frames; each is an array of its own."""
        return (self.frame(t) for t in range(len(self)))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """Return all frames in memory, (T, Y, X)."""
        return np.array(list(self), dtype or self.dtype).reshape(self.shape)

    def __getitem__(self, key: Any) -> Any:
        """Return what an array of the frames would: only the frames that are asked for are made."""
        which, *rest = key if isinstance(key, tuple) else (key,)
        if which is Ellipsis or which is None:
            return np.asarray(self)[key]
        wanted = np.arange(len(self))[which]
        if np.ndim(wanted) == 0:
            return self.frame(int(wanted))[tuple(rest)]
        frames = [self.frame(int(t)) for t in wanted]
        return np.array(frames, self.dtype).reshape(-1, *self.shape[1:])[(slice(None), *rest)]

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:  # who looks at frames in a notebook closes nothing
        self.close()


class _Remade:
    """The corrected counts of pixels of a frame, see `fovflow.features.views.Pixels`."""

    def __init__(self, frames: CorrectedFrames, t: int):
        self._frames, self._t = frames, t

    def __call__(self, raw: Numbers, at: Indices) -> Surface:
        return self._frames._remade(self._t, raw, at=at)

    def background(self, at: Indices) -> Surface | None:
        return self._frames._background(self._t, at)


_DAMAGED = (
    *(ValueError, KeyError, EOFError, OSError, TypeError, AttributeError, struct.error),
    *(BadZipFile, NotImplementedError, RuntimeError),  # of zipfile: methods, passwords
)


def _array(archive: ZipFile, name: str) -> NDArray[Any]:
    """Return an array of the archive; it takes no more memory than there are bytes in the file."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != ZIP_STORED:
        raise ValueError("it is compressed")
    return read_array(io.BytesIO(archive.read(info)))


def _place(file: Any, info: ZipInfo) -> tuple[int, int]:
    """Return at which byte of the file a member begins that is not compressed, and its size."""
    file.seek(info.header_offset)
    name, extra = struct.unpack("<26x2H", file.read(30))
    return info.header_offset + 30 + name + extra, info.file_size
