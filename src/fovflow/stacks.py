"""npy stacks, frame by frame: bounded memory, whatever the number of frames."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fovflow.atomic import atomic_open
from fovflow.errors import FovflowError, explained
from fovflow.records import REMAKE
from fovflow.userfiles import check_regular, open_regular

_DIMENSIONS = 3


class StackReader:
    """Read a (T, Y, X) npy file one frame at a time.

    Plain reads are used and no memory map, so that a job's memory stays at a few frames. Several
    threads may read at once.

    Parameters
    ----------
    path : path-like
        An npy file of three dimensions in C order. Pickled content is refused.
    start, size : int, optional
        The bytes of the file where it lies, where it is a part of another one.

    Attributes
    ----------
    shape : tuple of int
        (T, Y, X).
    dtype : numpy.dtype

    Raises
    ------
    FovflowError
        If the file is absent, is no npy stack, or is shorter or longer than its header says.
    """

    def __init__(self, path: str | os.PathLike[str], start: int = 0, size: int | None = None):
        self.path = Path(path)
        self._one_by_one = Lock()
        try:
            self._file = open_regular(self.path)
        except OSError as error:
            raise FovflowError(
                f"cannot open the stack {self.path}",
                found=error.strerror or str(error),
                remedy="run the pipeline again: missing files are remade",
            ) from error
        try:
            whole = os.fstat(self._file.fileno()).st_size
            self._file.seek(start)
            self.shape, self.dtype = self._read_header(whole if size is None else start + size)
        except BaseException:
            self._file.close()
            raise
        self._frame_bytes = self.shape[1] * self.shape[2] * self.dtype.itemsize

    def _read_header(self, end: int) -> tuple[tuple[int, int, int], np.dtype[Any]]:
        with explained(
            f"{self.path} is not a readable npy file",
            *(ValueError, KeyError, EOFError, OSError),
            remedy=REMAKE,
        ):
            shape, fortran, dtype = _read_header(self._file)
        if len(shape) != _DIMENSIONS or fortran or dtype.hasobject or min(shape) < 0:
            raise FovflowError(
                f"{self.path} is not a (T, Y, X) stack of numbers",
                found=f"shape {shape}, dtype {dtype}, {'Fortran' if fortran else 'C'} order",
                remedy=REMAKE,
            )
        self._start = self._file.tell()
        expected = self._start + shape[0] * shape[1] * shape[2] * dtype.itemsize
        if end != expected:
            raise FovflowError(
                f"{self.path} does not hold what its header announces",
                found=f"{end} bytes where shape {shape} and dtype {dtype} need {expected}",
                remedy=REMAKE,
            )
        return (int(shape[0]), int(shape[1]), int(shape[2])), dtype

    def __len__(self) -> int:
        return self.shape[0]

    def frame(self, t: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return frame `t` (from 0) as a (Y, X) array, read into `out` where one is given.

        `out` is a C-contiguous (Y, X) array of the stack's dtype.
        """
        if not 0 <= t < self.shape[0]:
            raise IndexError(f"frame {t} of a stack of {self.shape[0]}")
        if out is None:
            out = np.empty(self.shape[1:], self.dtype)
        with self._one_by_one:
            self._file.seek(self._start + t * self._frame_bytes)
            got = self._file.readinto(out.data.cast("B"))
        if got != self._frame_bytes:
            raise FovflowError(f"{self.path} ended inside frame {t}", remedy=REMAKE)
        return out

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Iterate over the frames; each is an array of its own."""
        for t in range(self.shape[0]):
            yield self.frame(t)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class StackWriter:
    """Write a (T, Y, X) npy file one frame at a time, atomically.

    Use it as a context manager; the file appears under its name when the block ends well and all
    `shape[0]` frames were appended.

    Parameters
    ----------
    path : path-like
        The final name.
    shape : tuple of int
        (T, Y, X).
    dtype : dtype-like

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "stack.npy")
    ...     with StackWriter(name, (2, 4, 4), np.uint16) as out:
    ...         for t in range(2):
    ...             out.append(np.full((4, 4), t, np.uint16))
    ...     int(np.load(name).sum())
    16
    """

    def __init__(self, path: str | os.PathLike[str], shape: tuple[int, int, int], dtype: DTypeLike):
        self.path = Path(path)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.written = 0
        self._file: IO[Any] | None = None
        self._context = self._open()

    @contextmanager
    def _open(self) -> Iterator[None]:
        size = math.prod(self.shape) * self.dtype.itemsize
        with atomic_open(self.path, "wb", size=size) as self._file:
            write_header(self._file, self.shape, self.dtype)
            yield
            if self.written != self.shape[0]:
                raise ValueError(f"{self.written} of {self.shape[0]} frames were written")

    def __enter__(self) -> Self:
        self._context.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._context.__exit__(*exc)

    def append(self, frame: NDArray[Any]) -> None:
        """Append one (Y, X) frame; its dtype must be the stack's."""
        if self._file is None:
            raise RuntimeError("StackWriter is used outside its with block")
        if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
            raise ValueError(
                f"frame of shape {frame.shape}, {frame.dtype} for a stack of "
                f"{self.shape[1:]}, {self.dtype}"
            )
        if self.written >= self.shape[0]:
            raise ValueError(f"more than the announced {self.shape[0]} frames")
        self._file.write(np.ascontiguousarray(frame).data.cast("B"))
        self.written += 1


class StackDigest:
    """The SHA-256 that a stack would have if `StackWriter` wrote it."""

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike):
        header = io.BytesIO()
        write_header(header, shape, np.dtype(dtype))
        self._hash = hashlib.sha256(header.getvalue())

    def append(self, frame: NDArray[Any]) -> None:
        """Append one (Y, X) frame."""
        self._hash.update(np.ascontiguousarray(frame).data.cast("B"))

    def sha256(self) -> str:
        """Return the digest, in hexadecimal digits."""
        return self._hash.hexdigest()


def _read_header(file: IO[Any]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    header = np.lib.format
    read = {(1, 0): header.read_array_header_1_0, (2, 0): header.read_array_header_2_0}
    shape, fortran, dtype = read[header.read_magic(file)](file)
    return shape, fortran, dtype


def read_array(file: IO[Any]) -> NDArray[Any]:
    """Return the array of an npy file, which is as long as its header says; else ValueError."""
    shape, _, dtype = _read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    return np.frombuffer(file.read(), dtype).reshape(shape)


def write_header(file: IO[Any], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
    """Write the header of an npy file of this content."""
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def write_image(path: str | os.PathLike[str], image: NDArray[Any]) -> None:
    """Write one (Y, X) image as an npy file, atomically."""
    with atomic_open(path, "wb") as file:
        np.save(file, np.ascontiguousarray(image), allow_pickle=False)


def read_image(path: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Read a dark frame or a flat-field from an npy or TIFF file, as (Y, X) float32.

    It must have the given shape, that of frames after cropping, and finite values.
    """
    try:
        found, image = _open_image(Path(path), tuple(shape))
    except Exception as error:
        raise FovflowError(
            f"cannot read the image {path}", found=str(error), remedy="give an npy or TIFF file"
        ) from error
    finite = image is None or bool(np.isfinite(image).all())
    if image is None or not finite:
        raise FovflowError(
            f"the image {path} does not fit",
            found=f"shape {found}" + ("" if finite else ", not finite"),
            remedy=f"give an image of finite numbers of shape {tuple(shape)}",
        )
    return image


def _open_image(
    path: Path, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], NDArray[np.float32] | None]:
    """Return the shape that a file announces, and its pixels where it is the one that is wanted.

    No header makes more memory be reserved than an image of `shape` takes.
    """
    check_regular(path)
    if path.suffix == ".npy":
        from numpy.lib.format import open_memmap

        mapped: NDArray[Any] = open_memmap(path, mode="r")
        found = tuple(n for n in mapped.shape if n != 1 or mapped.shape == shape)
        return found, mapped.reshape(shape).astype(np.float32) if found == shape else None
    from fovflow.readers.tiff_pages import TiffPages

    with closing(TiffPages(path)) as pages:
        page: Any = pages.tif.pages[0]
        size = (page.imagelength, page.imagewidth) if page.samplesperpixel == 1 else page.shape
        found = (*((pages.count,) if pages.count > 1 else ()), *map(int, size))
        return found, page.asarray().reshape(shape).astype(np.float32) if found == shape else None
