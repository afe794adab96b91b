"""Exchangeable parts by name: built-ins first, then third-party entry points."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from fovflow.errors import ConfigError

T = TypeVar("T")

_BOUNDS = {
    "ge": (operator.ge, "{} or more"),
    "gt": (operator.gt, "above {}"),
    "le": (operator.le, "{} or less"),
}
_UNITS = {"um": " µm", "um2": " µm²", "px": " px"}


def entry_points(*, group: str) -> Collection[Any]:
    """Return the installed entry points of a group; built-in parts cost no search for them."""
    from importlib import metadata

    return metadata.entry_points(group=group)


def find(kind: str, name: str, builtin: Mapping[str, Any]) -> Any:
    """Return the part called `name`.

    `kind`: plural of the kind; third parties register under the entry point group
    ``fovflow.<kind>``. `name`: name of the part, as in the config's ``method``. `builtin`: the
    parts that the package brings. Raises ConfigError if there is no such part; names those that
    there are. Also if a plug-in fails to load.
    """
    if name in builtin:
        return builtin[name]
    plugins = entry_points(group=f"fovflow.{kind}")
    for plugin in plugins:
        if plugin.name == name:
            try:
                return plugin.load()
            except Exception as error:
                raise ConfigError(
                    f"the plug-in {name!r} of {plugin.value} does not load",
                    found=f"{type(error).__name__}: {error}",
                    remedy="install what it needs, or choose another method",
                ) from error
    known = sorted({*builtin, *(plugin.name for plugin in plugins)})
    raise ConfigError(
        f"there is no {name!r} among the {kind}",
        found=", ".join(known),
        remedy="use one of these, or install the plug-in that brings it",
    )


def load(part: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return a callable that may be given as ``"module:name"``."""
    if not isinstance(part, str):
        return part
    module, _, name = part.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a step, and what planning must know of it without loading its kernel.

    Attributes
    ----------
    kernel : str or callable
        What does the work, as ``"module:name"`` or itself. It is called with the settings and the
        keyword arguments that the step gives, such as ``pixel_um``.
    settings : type
        Frozen dataclass of the parameters; its fields are made by `setting`.
    needs_pixel_size : bool
        Whether there are lengths in µm among the parameters' defaults.
    revision : int
        Rises whenever the method's output changes for the same input and parameters; results of
        another revision are made again.
    data : tuple of str
        Keyword arguments of the kernel that no configuration can hold, such as an image.
    """

    kernel: str | Callable[..., Any]
    settings: type
    needs_pixel_size: bool = False
    revision: int = 0
    data: tuple[str, ...] = ()

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters that may be given to the kernel, without ``method``."""
        return [
            field.name
            for field in dataclasses.fields(self.settings)
            if field.name != "method" and not field.metadata.get("of_step")
        ]


class Sentences(NamedTuple):
    """What is said of wrong parameters; {method}, {unknown}, {first} and {known} are filled in.

    Attributes
    ----------
    unknown, found, remedy : str
        The three parts of the error for parameters that the method does not have.
    bounds : str
        Beginning of the error for values out of bounds; empty where the kernel checks them.
    """

    unknown: str
    found: str
    remedy: str
    bounds: str = ""


class Registry(Mapping[str, Method], Generic[T]):
    """The methods of one step by name: the package's own, and plug-ins.

    A plug-in's entry point is a `Method`, or a callable that takes what the step gives and the
    method's own parameters as keywords.

    Parameters
    ----------
    kind : str
        See `find`.
    builtin : mapping of str to Method
    sentences : Sentences
    """

    def __init__(self, kind: str, builtin: Mapping[str, Method], sentences: Sentences):
        self._kind = kind
        self._builtin = dict(builtin)
        self._sentences = sentences

    def __len__(self) -> int:
        return len(self._builtin)

    def __iter__(self) -> Iterator[str]:
        return iter(self._builtin)

    def __getitem__(self, name: str) -> Method:
        return self._builtin[name]

    def known(self, name: str) -> Method | None:
        """Return the method, or None for a plug-in that does not describe itself or is absent."""
        try:
            found = find(self._kind, name, self._builtin)
        except ConfigError:  # the job that needs it says so
            return None
        return found if isinstance(found, Method) else None

    def needs_pixel_size(self, name: str) -> bool:
        """Tell whether a method cannot do without the size of a pixel."""
        method = self.known(name)
        return method is not None and method.needs_pixel_size

    def revision(self, name: str) -> int:
        """Return a method's revision; 0 for a plug-in that has none."""
        method = self.known(name)
        return 0 if method is None else method.revision

    def make(self, name: str, parameters: Mapping[str, Any], **given: Any) -> T:
        """Return the kernel of a method, ready for work.

        Parameters
        ----------
        name : str
        parameters : mapping
            The method's parameters; those left out have their defaults.
        **given
            What the step gives to all its methods.

        Raises
        ------
        ConfigError
            For an unknown method, unknown parameters and values out of bounds.
        """
        method = find(self._kind, name, self._builtin)
        made: T
        if not isinstance(method, Method):
            self._refuse_unknown(name, parameters, _keywords(method, given, parameters))
            made = method(**given, **parameters)
            return made
        known = list(dict.fromkeys([*method.parameters, *method.data]))
        self._refuse_unknown(name, parameters, known)
        data = {key: value for key, value in parameters.items() if key in method.data}
        own = {key: value for key, value in parameters.items() if key not in data}
        what = self._sentences.bounds.format(method=name)
        try:
            settings = method.settings(**own)
        except ValueError as error:
            found = ", ".join(f"{key} = {value}" for key, value in own.items())
            remedy = "correct these settings"
            raise ConfigError(f"{what}: {error}", found=found, remedy=remedy) from error
        if what:
            check_bounds(settings, what)
        made = load(method.kernel)(settings, **given, **data)
        return made

    def _refuse_unknown(self, name: str, given: Iterable[str], known: list[str]) -> None:
        unknown = sorted(set(given) - set(known))
        if unknown:
            words = {"method": name, "unknown": ", ".join(unknown), "first": unknown[0]}
            words["known"] = ", ".join(known) or "none"
            message, found, remedy, _ = (part.format(**words) for part in self._sentences)
            raise ConfigError(message, found=found, remedy=remedy)


def _keywords(
    function: Callable[..., Any], given: Iterable[str], wanted: Iterable[str]
) -> list[str]:
    """Return a callable's keywords besides those `given`; all `wanted` ones where it takes any."""
    accepted = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted):
        return list(wanted)
    return [each.name for each in accepted if each.name not in given]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of a method: subclasses are frozen dataclasses of `setting` fields.

    They are plain dataclasses, so that a job pays for no validation library; where a
    configuration is checked, pydantic reads the same fields.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


class Bounds:
    """Bounds of one branch of a union, such as a number or the path of a file.

    Parameters
    ----------
    **bounds
        As in `setting`.
    """

    def __init__(self, **bounds: Any):
        self._bounds = bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Return the schema that pydantic makes of the branch, with the bounds."""
        return {**handler(source), **self._bounds}


def setting(default: Any, description: str, *, of_step: bool = False, **bounds: Any) -> Any:
    """Return the field of a parameter in a frozen dataclass of settings.

    Parameters
    ----------
    default : object
    description : str
        What the parameter means, with its unit; it goes into the configuration's documents.
    of_step : bool
        Whether the step uses it, and not the method's kernel.
    **bounds
        ``ge``, ``gt``, ``le``, ``min_length``, ``allow_inf_nan``: as in `pydantic.Field`, which
        reads them from here where a configuration is checked.
    """
    metadata = {"description": description, "of_step": of_step, **bounds}
    return dataclasses.field(default=default, metadata=metadata)


def check_bounds(settings: Any, what: str) -> None:
    """Refuse numbers out of the bounds that their fields tell.

    Raises ConfigError, which begins with `what` and names all that are wrong.
    """
    wrong: dict[str, dict[str, Any]] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        for key, (holds, words) in _BOUNDS.items():
            bound = field.metadata.get(key)
            if bound is not None and value is not None and not holds(value, bound):
                wrong.setdefault(words.format(bound), {})[field.name] = value
                break
    if wrong:
        said = [
            f"{', '.join(names)} must be {words}{_unit(names)}" for words, names in wrong.items()
        ]
        raise ConfigError(
            f"{what}: {'; '.join(said)}",
            found=", ".join(
                f"{n} = {value}" for names in wrong.values() for n, value in names.items()
            ),
            remedy="correct these settings",
        )


def _unit(names: Iterable[str]) -> str:
    """Return the unit that names have in common, which is the last part of each."""
    units = {_UNITS.get(name.rpartition("_")[2], "") for name in names}
    return units.pop() if len(units) == 1 else ""
