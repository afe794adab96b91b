"""Frames side by side: their order, what waits for the frame before, memory of threads, BLAS."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from fovflow.errors import FovflowError
from fovflow.parallel import OwnBuffer, Turn, in_order, one_blas_thread


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_few_tasks_are_begun_before_they_are_asked_for(threads):
    begun = []

    def work(number):
        time.sleep(0.002 * (number % 3))
        return number

    def tasks():
        for number in range(20):
            begun.append(number)
            yield partial(work, number)

    found = []
    for number in in_order(tasks(), threads):
        assert len(begun) == min(20, number + 1 + (threads if threads > 1 else 0))
        found.append(number)
    assert found == list(range(20))


def test_as_many_tasks_as_threads_are_at_work_at_once():
    meeting = threading.Barrier(2)
    assert len(list(in_order([lambda: meeting.wait(5)] * 4, 2))) == 4
    with pytest.raises(threading.BrokenBarrierError):
        list(in_order([lambda: meeting.wait(0.05)], 2))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_in_its_place_and_nothing_is_begun_after_it(threads):
    begun = []

    def work(number):
        begun.append(number)
        if number == 4:
            raise ValueError("frame 4")
        return number

    results = in_order((partial(work, number) for number in range(1000)), threads)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="frame 4"):
        next(results)
    assert max(begun) <= 4 + threads
    assert not [thread for thread in threading.enumerate() if "fovflow-frame" in thread.name]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_frame_that_cannot_be_read_is_told_after_those_before_it(threads):
    def tasks():
        for number in range(4):
            yield partial(int, number)
        raise FovflowError("frame 4 cannot be read")

    results = in_order(tasks(), threads)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(FovflowError, match="frame 4 cannot be read"):
        next(results)


def test_who_stops_asking_ends_the_threads():
    results = in_order((partial(int, number) for number in range(1000)), 3)
    assert next(results) == 0
    results.close()
    assert not [thread for thread in threading.enumerate() if "fovflow-frame" in thread.name]


def test_work_that_waits_is_done_in_the_order_of_the_frames():
    order = {0: [], 1: []}
    barrier = threading.Barrier(2)

    def frame(number, turn):
        with turn:
            if number < 2:
                barrier.wait(5)  # both are at work, and the second one comes to its wait first
            time.sleep(0.01 if number == 0 else 0)
            for place in (0, 1):
                with turn.wait(place):
                    order[place].append(number)

    def tasks():
        turn = None
        for number in range(12):
            turn = Turn(turn, 2)
            yield partial(frame, number, turn)

    list(in_order(tasks(), 4))
    assert order == {0: list(range(12)), 1: list(range(12))}


def test_a_frame_that_waits_for_nothing_still_keeps_the_order():
    first = Turn(None, 1)
    second = Turn(first, 1)
    third, done = Turn(second, 1), []

    def idle(turn):
        with turn:
            pass

    def last():
        with third, third.wait(0):
            done.append("third")

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(idle, second), pool.submit(last)
        time.sleep(0.02)
        assert not done  # the second has nothing to do, but the first is not through
        idle(first)
        for each in waiting:
            each.result(5)
    assert done == ["third"]


def test_each_thread_has_a_buffer_of_its_own_and_keeps_it():
    buffer = OwnBuffer(np.float32)
    mine = buffer.of(3, 4)
    assert mine.shape == (3, 4)
    assert mine.dtype == np.float32
    assert buffer.of(3, 4) is mine
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(buffer.of, 3, 4).result() is not mine
    assert buffer.of(2, 2).shape == (2, 2)


def blas_threads():
    libraries = ThreadpoolController().select(user_api="blas")
    return {each["num_threads"] for each in libraries.info()}


@pytest.mark.parametrize("where", ["here", "in another thread"])
def test_blas_has_one_thread_inside_and_as_many_as_before_afterwards(where):
    @one_blas_thread
    def inside():
        assert blas_threads() == {1}
        with one_blas_thread:
            assert blas_threads() == {1}
        return blas_threads()

    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        if where == "here":
            assert inside() == {1}
        else:  # newer releases of threadpoolctl let only the thread here set limits
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(inside).result() == {1}
        assert blas_threads() == {2}


def test_blas_gets_its_threads_back_from_the_last_of_several():
    inside, go_on = threading.Event(), threading.Event()

    def long():
        with one_blas_thread:
            inside.set()
            go_on.wait(5)
            return blas_threads()

    with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as pool:
        with one_blas_thread:
            other = pool.submit(long)
            assert inside.wait(5)
        assert blas_threads() == {1}
        go_on.set()
        assert other.result(5) == {1}
        assert blas_threads() == {2}
