"""What a worker process does, and how functions, arguments and outcomes travel to it and back."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from fovflow.errors import ConfigError, FovflowError
from fovflow.mapping.outcomes import Outcome, attempt
from fovflow.mapping.selection import function_name
from fovflow.mapping.threads import Task

READY = b"ready"
"""What a worker says when it has loaded the function."""

_INSTEAD = 'or use parallelism="thread"'


def serve(connection: Connection) -> None:
    """Load the function, then work on one FOV after another until the connection is closed."""
    os.setsid()  # a group of its own: Ctrl-C is the parent's affair, which stops the whole group
    try:
        callback, shared = pickle.loads(connection.recv_bytes())
    except EOFError:
        return
    except BaseException as error:
        connection.send_bytes(f"{type(error).__name__}: {error}".encode())
        return
    try:
        connection.send_bytes(READY)
        while True:
            fov, own = pickle.loads(connection.recv_bytes())
            outcome = attempt(callback, fov, {**own, **shared})
            connection.send_bytes(_packed(outcome))
            del outcome, fov, own
    except (EOFError, OSError):  # the parent has closed the connection, or is gone
        return


def _packed(outcome: Outcome) -> bytes:
    """Return an outcome as bytes that the parent can read, whatever it holds."""
    try:
        data = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
        if outcome.error is not None:
            pickle.loads(data)  # some errors can be written but not read
    except Exception as error:
        if outcome.ok:
            what = (
                f"the function returned a {type(outcome.value).__name__}, which cannot be pickled"
            )
            instead = FovflowError(what, found=str(error), remedy=f"return plain data, {_INSTEAD}")
        else:
            instead = FovflowError(f"{type(outcome.error).__name__}: {outcome.error}")
        text = outcome.traceback or f"{type(error).__name__}: {error}"
        return pickle.dumps(Outcome(False, None, instead, text, outcome.seconds))
    return data


def unpacked(data: bytes) -> Outcome:
    """Return the outcome that a worker sent."""
    try:
        outcome = pickle.loads(data)
    except Exception as error:
        what = "what the function returned cannot be read back"
        failure = FovflowError(what, found=f"{type(error).__name__}: {error}")
        return Outcome(False, None, failure, str(failure))
    assert isinstance(outcome, Outcome)
    return outcome


def packed_work(
    callback: Callable[..., Any], tasks: Sequence[Task], shared: Mapping[str, Any]
) -> bytes:
    """Return the function and its shared arguments as bytes; check that all tasks can travel.

    Raises
    ------
    ConfigError
        Naming what cannot be pickled.
    """
    inner = callback
    while isinstance(inner, partial):
        inner = inner.func
    name = function_name(inner)
    main = sys.modules.get("__main__")
    if getattr(inner, "__module__", "") == "__main__" and not getattr(main, "__file__", None):
        raise ConfigError(
            f"callback: {name} was defined in a notebook or at the prompt, where worker processes "
            "cannot find it",
            remedy=f"put it into a .py file and import it, {_INSTEAD}",
        )
    _check("callback", f"{name} cannot be pickled for worker processes", callback)
    for key, value in shared.items():
        _check(key, "this argument cannot be pickled for worker processes", value)
    for fov, own in tasks:
        for key, value in own.items():
            what = f"{key} of {fov.name} cannot be pickled for worker processes"
            _check("fov_args", what, value)
    return pickle.dumps((callback, dict(shared)), pickle.HIGHEST_PROTOCOL)


def _check(key: str, what: str, value: Any) -> None:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        remedy = (
            "define it with def at the top level of a module"
            if key == "callback"
            else "give plain data, such as a path, and open it in the function"
        )
        raise ConfigError(
            f"{key}: {what}", found=" ".join(str(error).split()), remedy=f"{remedy}, {_INSTEAD}"
        ) from error
