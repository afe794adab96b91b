"""What the process of a job is given by the engine, in builtin types.

A script of this package that takes it from here imports nothing of Snakemake, which would take a
sixth of the time that a job needs to start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ATTEMPT = "FOVFLOW_ATTEMPT"
"""Environment variable: which attempt of its job this is, counted by the engine from 1."""

LISTS = ("input", "output", "params", "wildcards", "log")
VALUES = ("threads", "config")


def attempt_of_engine() -> int:
    """Return which attempt of its job this process is part of; 1 where the engine has not said."""
    text = os.environ.get(ATTEMPT, "")
    return int(text) if text.isdecimal() else 1


class Names(list[Any]):
    """Values in order; those with a name, which may hold several, are attributes and items."""

    def __init__(self, values: Iterable[Any], named: Mapping[str, Any]):
        super().__init__(values)
        self._named = dict(named)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_named"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: Any) -> Any:
        return self._named[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, name: str, default: Any = None) -> Any:
        """Return what has a name."""
        return self._named.get(name, default)

    def keys(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._named)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over names and what they hold."""
        return iter(self._named.items())


class Given:
    """The object ``snakemake`` of a script, as far as `fovflow.adapter.job.Job` asks it."""

    def __init__(self, rule: str, facts: Mapping[str, Any]):
        self.rule = rule
        for name in LISTS:
            setattr(self, name, Names(*facts[name]))
        for name in VALUES:
            setattr(self, name, facts[name])


def source_of_given(rule: str, script: Any) -> str:
    """Return the source text of a `Given` with what a script of the engine holds.

    Raises TypeError where that is of other than builtin types.
    """
    lists = ((name, getattr(script, name)) for name in LISTS)
    facts: dict[str, Any] = {n: ([*each], dict(each.items())) for n, each in lists}
    facts |= {name: getattr(script, name) for name in VALUES}
    return f"Given({rule!r}, {_plain(facts)!r})"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return tuple(items) if type(value) is tuple else items
    if type(value) in (int, float, bool, type(None)):
        return value
    raise TypeError(f"{type(value).__name__} has no literal form")
