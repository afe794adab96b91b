"""What came of each FOV: a value or an error, and never one that looks like the other."""

from __future__ import annotations

import re
import traceback as tracebacks
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from time import perf_counter
from typing import Any

from fovflow.errors import ConfigError
from fovflow.layout import fov_name
from fovflow.results import FovResult

_FOV_REF = re.compile(r"(?:(?P<dataset>.+)/)?(?:fov_)?(?P<index>\d{1,18})")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one FOV.

    Attributes
    ----------
    ok : bool
        Whether the function returned.
    value : object
        What it returned, which may be None; None also where it failed.
    error : BaseException or None
        What it raised. Its traceback is kept as text only, so that no frame keeps images alive.
    traceback : str or None
        The whole traceback, also from a worker process.
    seconds : float
        How long it took.
    """

    ok: bool
    value: Any = None
    error: BaseException | None = None
    traceback: str | None = None
    seconds: float = 0.0


class Outcomes(dict[str, Outcome]):
    """Outcomes by FOV, in the order in which the FOVs were given.

    Keys are ``"plate1/fov_003"``; look-up also takes ``3``, ``"3"``, ``"fov_003"``,
    ``"plate1/3"`` and FOV objects.
    """

    def __getitem__(self, key: Any) -> Outcome:
        return super().__getitem__(self._key(key))

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(self._key(key))

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the outcome of an FOV, or `default` where it is not among them."""
        return super().get(self._key(key), default)

    def _key(self, key: Any) -> str:
        if isinstance(key, FovResult):
            return key.name
        try:
            dataset, index = parse_fov(key)
        except ConfigError:
            return key if isinstance(key, str) else repr(key)
        ending = f"/fov_{fov_name(index)}"
        if dataset is not None:
            return dataset + ending
        found = [name for name in self if name.endswith(ending)]
        if len(found) > 1:
            raise KeyError(f"{key!r} is one of {', '.join(found)}: name the dataset, too")
        return found[0] if found else ending

    def values_only(self) -> dict[str, Any]:
        """Return the values of the FOVs that went well, by FOV.

        Failures are left out: see `failures`, or call `raise_first` before.
        """
        return {name: outcome.value for name, outcome in self.items() if outcome.ok}

    def ok(self) -> Outcomes:
        """Return the outcomes that went well."""
        return Outcomes({name: outcome for name, outcome in self.items() if outcome.ok})

    def failures(self) -> Outcomes:
        """Return the outcomes that failed."""
        return Outcomes({name: outcome for name, outcome in self.items() if not outcome.ok})

    def raise_first(self) -> Outcomes:
        """Raise the error of the first FOV that failed; return the outcomes if none did."""
        for name, outcome in self.items():
            if outcome.error is not None:
                raise named(name, outcome)
        return self


def parse_fov(ref: Any) -> tuple[str | None, int]:
    """Return the dataset, where it is named, and the index of an FOV.

    `ref`: ``3``, ``"3"``, ``"fov_003"``, ``"plate1/3"``, ``"plate1/fov_003"`` or an object. Raises
    ConfigError if it is none of these.
    """
    if isinstance(ref, FovResult):
        return ref.dataset, ref.index
    if isinstance(ref, Integral) and not isinstance(ref, bool) and int(ref) >= 0:
        return None, int(ref)
    match = _FOV_REF.fullmatch(ref.strip()) if isinstance(ref, str) else None
    if match is None:
        raise ConfigError(
            f"{ref!r} does not name an FOV",
            remedy='give an index such as 3, "fov_003", "plate1/3", or an FOV of the results',
        )
    return match["dataset"], int(match["index"])


def attempt(function: Callable[..., Any], fov: FovResult, arguments: dict[str, Any]) -> Outcome:
    """Call `function` with an FOV; whatever it raises becomes an outcome."""
    start = perf_counter()
    try:
        value = function(fov, **arguments)
    except BaseException as error:  # also SystemExit: one FOV must not end the others
        text = tracebacks.format_exc()
        drop_tracebacks(error)
        return Outcome(False, None, error, text, perf_counter() - start)
    return Outcome(True, value, None, None, perf_counter() - start)


def named(name: str, outcome: Outcome) -> BaseException:
    """Return an outcome's error with notes that name the FOV and hold the traceback."""
    error = outcome.error
    assert error is not None
    note = f"in FOV {name}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
        error.add_note((outcome.traceback or "").rstrip())
    return error


def drop_tracebacks(error: BaseException) -> None:
    """Drop the frames that an error, its causes and its context hold, and all their images."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        item = waiting.pop()
        if item is not None and id(item) not in seen:
            seen.add(id(item))
            item.__traceback__ = None
            waiting += [item.__cause__, item.__context__]
