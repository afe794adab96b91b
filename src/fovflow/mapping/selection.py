"""Which FOVs, and with which arguments: everything is checked before anything runs."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from numbers import Integral
from typing import Any

from fovflow.errors import ConfigError
from fovflow.mapping.outcomes import Outcome, parse_fov
from fovflow.results import FovResult, Results, load_datasets
from fovflow.units import parse_ranges

Task = tuple[FovResult, dict[str, Any]]
"""An FOV and the arguments of its own."""

Call = Callable[[FovResult, dict[str, Any]], Outcome]
"""Returns what came of such a task."""


def open_datasets(results: Any) -> dict[str, Results]:
    """Return datasets by name.

    `results`: a path is a dataset's folder, its results file, or an output folder with any number
    of datasets. The keys of a mapping rename its datasets. Raises FovflowError if a folder holds no
    results. Raises ConfigError if two datasets have one name, or `results` is something else.
    """
    if isinstance(results, Results):
        return {results.dataset: results}
    if isinstance(results, str | os.PathLike):
        return load_datasets(results)
    if isinstance(results, Mapping):
        return {str(name): _only_dataset(item, str(name)) for name, item in results.items()}
    if not isinstance(results, Iterable):
        raise ConfigError(
            "results: neither results nor a folder",
            found=type(results).__name__,
            remedy="give what fovflow.load_results returns, a folder, or several of these",
        )
    found: dict[str, Results] = {}
    for name, dataset in chain.from_iterable(open_datasets(item).items() for item in results):
        if name in found:
            raise ConfigError(
                f"results: two datasets are called {name!r}",
                found=f"{found[name].folder} and {dataset.folder}",
                remedy="give a dict with names of your own",
            )
        found[name] = dataset
    return found


def _only_dataset(results: Any, name: str) -> Results:
    """Return the one dataset in `results`, under another name."""
    inside = list(open_datasets(results).values())
    if len(inside) != 1:
        raise ConfigError(f"results: {name!r} stands for {len(inside)} datasets, not one")
    dataset = inside[0]
    if dataset.dataset == name:
        return dataset
    fovs = {index: replace(fov, dataset=name) for index, fov in dataset.fovs.items()}
    return replace(dataset, dataset=name, fovs=fovs)


def select_fovs(datasets: Mapping[str, Results], fovs: Any) -> list[FovResult]:
    """Return the FOVs that `fovs` names, in its order; all where it is None or ``"all"``.

    Raises ConfigError for FOVs that do not exist, that are named twice, or that are in several
    datasets.
    """
    if fovs is None or (isinstance(fovs, str) and fovs == "all"):
        return _all(datasets)
    if isinstance(fovs, str):  # ranges such as "0-5, 7", or a name
        try:
            fovs = list(parse_ranges(fovs))
        except ConfigError:
            fovs = [fovs]
    elif isinstance(fovs, FovResult | Integral):
        fovs = [fovs]
    elif not isinstance(fovs, Iterable):
        raise ConfigError(
            "fovs: no list of FOVs", found=type(fovs).__name__, remedy="give a list such as [0, 3]"
        )
    chosen = [find_fov(datasets, ref) for ref in fovs]
    twice = [name for name, count in Counter(fov.name for fov in chosen).items() if count > 1]
    if twice:
        raise ConfigError(
            "fovs: named twice", found=", ".join(twice), remedy="name each FOV at most once"
        )
    return chosen


def find_fov(datasets: Mapping[str, Results], ref: Any) -> FovResult:
    """Return the FOV that `ref` names.

    Raises ConfigError if there is none, or one in each of several datasets.
    """
    dataset, index = parse_fov(ref)
    found = [
        fov
        for name, result in datasets.items()
        if (fov := result.fovs.get(index))
        and (_same(fov, ref) if isinstance(ref, FovResult) else dataset in (None, name))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"fovs: {ref!r} is in several datasets",
            found=", ".join(fov.name for fov in found),
            remedy="name the dataset, too",
        )
    shown = f"{dataset}/{index}" if dataset else str(index)
    there = [fov.name for fov in _all(datasets)]
    raise ConfigError(
        f"fovs: there is no FOV {shown}",
        found=", ".join(there[:10]) + (f", … ({len(there)} FOVs)" if len(there) > 10 else ""),
        remedy="name FOVs of the results",
    )


def _all(datasets: Mapping[str, Results]) -> list[FovResult]:
    return [fov for dataset in datasets.values() for fov in dataset.fovs.values()]


def _same(one: FovResult, other: FovResult) -> bool:
    return one.path == other.path or one.path.resolve() == other.path.resolve()


def arguments_of(
    fovs: list[FovResult],
    datasets: Mapping[str, Results],
    fov_args: Any,
    kwargs: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the arguments of each FOV's own, checked against those that all share.

    Raises ConfigError if `fov_args` has not exactly one mapping for each FOV, or one that repeats a
    shared name.
    """
    own = _own_arguments(fovs, datasets, fov_args)
    for fov, arguments in zip(fovs, own, strict=True):
        if not isinstance(arguments, Mapping) or not all(isinstance(k, str) for k in arguments):
            raise ConfigError(
                f"fov_args: those of {fov.name} are no mapping of names to values",
                found=repr(arguments)[:80],
            )
        both = sorted(set(arguments) & set(kwargs))
        if both:
            raise ConfigError(
                f"fov_args: {', '.join(both)} of {fov.name} is given for all FOVs, too",
                remedy="give each argument either in fov_args or for all",
            )
    return [dict(arguments) for arguments in own]


def _own_arguments(
    fovs: list[FovResult], datasets: Mapping[str, Results], fov_args: Any
) -> list[Mapping[str, Any]]:
    if fov_args is None:
        return [{} for _ in fovs]
    if isinstance(fov_args, Mapping):
        by_name: dict[str, Any] = {}
        for ref, arguments in fov_args.items():
            name = find_fov(datasets, ref).name
            if name in by_name:
                raise ConfigError(f"fov_args: {name} is named twice")
            by_name[name] = arguments
        names = [fov.name for fov in fovs]
        missing = [name for name in names if name not in by_name]
        extra = [name for name in by_name if name not in names]
        if missing or extra:
            what = [f"lack {', '.join(missing[:5])}"] if missing else []
            what += [f"name {', '.join(extra[:5])}, which is not chosen"] if extra else []
            raise ConfigError(
                f"fov_args: {len(by_name)} for {len(names)} FOVs: they {' and '.join(what)}",
                remedy="name each chosen FOV once; {} is for an FOV without arguments of its own",
            )
        return [by_name[name] for name in names]
    if isinstance(fov_args, str | bytes) or not isinstance(fov_args, Iterable):
        raise ConfigError("fov_args: neither a list nor a dict", found=type(fov_args).__name__)
    listed = list(fov_args)
    if len(listed) != len(fovs):
        raise ConfigError(
            f"fov_args: {len(listed)} for {len(fovs)} FOVs",
            remedy="give one dict of arguments for each FOV, in the same order",
        )
    return listed


def check_callback(
    callback: Any, tasks: Iterable[tuple[FovResult, dict[str, Any]]], shared: Mapping[str, Any]
) -> None:
    """Raise ConfigError where `callback` cannot be called with the arguments of an FOV."""
    if not callable(callback):
        raise ConfigError("callback: no function", found=type(callback).__name__)
    try:
        signature = inspect.signature(callback)
    except (ValueError, TypeError):  # some built-in functions do not tell
        return
    for fov, own in tasks:
        try:
            signature.bind(fov, **own, **shared)
        except TypeError as error:
            raise ConfigError(
                f"callback: {function_name(callback)} does not take the arguments of {fov.name}",
                found=str(error),
                remedy=f"its arguments are {signature}: the FOV, then what is given by name",
            ) from error


def function_name(callback: Callable[..., Any]) -> str:
    """Return a function's name for people."""
    return str(getattr(callback, "__qualname__", None) or repr(callback))


def check_number(name: str, value: Any) -> int:
    """Return `value` as a whole number of at least 1, or raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ConfigError(f"{name}: {value!r} is not allowed", remedy="give a whole number from 1")
    return int(value)


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(
            f"{name}: {value!r} is not allowed", remedy=f"give one of {', '.join(allowed)}"
        )
