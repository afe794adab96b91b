"""npy stacks frame by frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fovflow.errors import FovflowError
from fovflow.stacks import StackReader, StackWriter


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32])
def test_written_frames_are_what_numpy_reads_and_what_the_reader_reads(tmp_path, dtype):
    stack = np.random.default_rng(1).integers(0, 200, (5, 7, 9)).astype(dtype)
    path = tmp_path / "stack.npy"
    with StackWriter(path, stack.shape, dtype) as out:
        for frame in stack:
            out.append(frame)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), stack)
    np.save(tmp_path / "numpy.npy", stack)
    assert path.read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    with StackReader(path) as back:
        assert back.shape == stack.shape
        assert back.dtype == dtype
        assert len(back) == 5
        np.testing.assert_array_equal(back.frame(3), stack[3])
        np.testing.assert_array_equal(np.stack(list(back)), stack)
        buffer = np.empty((7, 9), dtype)
        assert back.frame(0, out=buffer) is buffer
        np.testing.assert_array_equal(buffer, stack[0])
        with pytest.raises(IndexError):
            back.frame(5)


def test_threads_that_read_at_once_get_their_own_frames(tmp_path):
    stack = np.repeat(np.arange(40, dtype=np.uint16), 256 * 256).reshape(40, 256, 256)
    np.save(tmp_path / "stack.npy", stack)
    wanted = list(range(40)) * 10
    with StackReader(tmp_path / "stack.npy") as reader, ThreadPoolExecutor(8) as pool:
        for t, frame in zip(wanted, pool.map(reader.frame, wanted), strict=True):
            assert (frame == t).all()


def test_an_incomplete_stack_never_appears(tmp_path):
    path = tmp_path / "stack.npy"
    with (
        pytest.raises(ValueError, match="1 of 2 frames"),
        StackWriter(path, (2, 3, 3), "u2") as out,
    ):
        out.append(np.zeros((3, 3), np.uint16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "frame", [np.zeros((3, 4), np.uint16), np.zeros((3, 3), np.float32)], ids=["shape", "dtype"]
)
def test_frames_that_do_not_fit_are_refused(tmp_path, frame):
    with (
        pytest.raises(ValueError, match="frame of shape"),
        StackWriter(tmp_path / "s.npy", (2, 3, 3), np.uint16) as out,
    ):
        out.append(frame)


def test_too_many_frames_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="more than the announced"),
        StackWriter(tmp_path / "s.npy", (1, 3, 3), np.uint16) as out,
    ):
        out.append(np.zeros((3, 3), np.uint16))
        out.append(np.zeros((3, 3), np.uint16))


def test_damaged_stacks_are_named(tmp_path):
    good = tmp_path / "good.npy"
    np.save(good, np.zeros((4, 5, 6), np.uint16))
    cases = {
        "garbage": b"not an array",
        "empty": b"",
        "truncated": good.read_bytes()[:-10],
        "longer": good.read_bytes() + b"\0" * 8,
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.npy"
        path.write_bytes(content)
        with pytest.raises(FovflowError, match=f"{name}.npy") as error:
            StackReader(path)
        assert "run the pipeline again" in str(error.value)


def test_pickles_other_shapes_and_absent_files_are_refused(tmp_path):
    np.save(tmp_path / "object.npy", np.array([[[{}]]], dtype=object), allow_pickle=True)
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.zeros((3, 4, 5))))
    for name in ("object", "flat", "fortran"):
        with pytest.raises(FovflowError, match=r"not a .T, Y, X. stack"):
            StackReader(tmp_path / f"{name}.npy")
    with pytest.raises(FovflowError, match="cannot open the stack"):
        StackReader(tmp_path / "absent.npy")


def test_a_header_that_asks_for_ten_terabytes_allocates_nothing(tmp_path):
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (1000, 70_000, 70_000)}
        )
    with pytest.raises(FovflowError, match="does not hold what its header announces"):
        StackReader(path)
