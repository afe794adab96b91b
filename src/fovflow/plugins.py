"""Exchangeable parts by name: built-ins first, then third-party entry points."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from fovflow.errors import ConfigError

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


def code_files(kind: str, names: Iterable[str], builtin: Mapping[str, Any]) -> dict[str, str]:
    """Return the files with the code of parts that plug-ins bring, by what people call it.

    These are the modules of a part's entry point and, where that is another one of its package, of
    the function or class that does the work; not what they import. `names`: of parts of the kind;
    none is looked for where all are `builtin`.
    """
    wanted = {*names}.difference(builtin)
    found: dict[str, str] = {}
    for plugin in entry_points(group=f"fovflow.{kind}") if wanted else ():
        if plugin.name not in wanted:
            continue
        with suppress(ConfigError, ImportError, ValueError):  # the job that needs it says so
            part = find(kind, plugin.name, builtin)
            work = getattr(part, "kernel", None) or getattr(part, "function", None) or part
            entry = plugin.value.partition(":")[0]
            own = work.partition(":")[0] if isinstance(work, str) else work.__module__
            for module in {entry, own} if _top(own) == _top(entry) else {entry}:
                if (spec := importlib.util.find_spec(module)) and spec.origin:
                    found[f"the plug-in {module}"] = spec.origin
    return dict(sorted(found.items()))


def _top(module: str) -> str:
    return module.partition(".")[0]


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
        own = [f for f in dataclasses.fields(self.settings) if not f.metadata.get("of_step")]
        return [field.name for field in own if field.name != "method"]


class Sentences(NamedTuple):
    """What is said of wrong parameters; {method}, {unknown}, {first} and {known} are filled in.

    The first three are the parts of the error for parameters that the method does not have.
    """

    unknown: str
    found: str
    remedy: str
    bounds: str = ""
    """Beginning of the error for values out of bounds; empty where the kernel checks them."""


class Registry(dict[str, Method]):
    """The methods of one step by name: the package's own; plug-ins are found where it is asked.

    A plug-in's entry point is a `Method`, or a callable that takes what the step gives and the
    method's own parameters as keywords. `kind`: see `find`.
    """

    def __init__(self, kind: str, builtin: Mapping[str, Method], sentences: Sentences):
        super().__init__(builtin)
        self.kind = kind
        self._sentences = sentences

    def _described(self, name: str) -> Method:
        """Return the method; an empty one for a plug-in that is absent or no `Method`."""
        try:
            found = find(self.kind, name, self)
        except ConfigError:  # the job that needs it says so
            found = None
        return found if isinstance(found, Method) else Method("", Settings)

    def needs_pixel_size(self, name: str) -> bool:
        """Tell whether a method cannot do without the size of a pixel."""
        return self._described(name).needs_pixel_size

    def revision(self, name: str) -> int:
        """Return a method's revision; 0 for a plug-in that has none."""
        return self._described(name).revision

    def make(self, name: str, parameters: Mapping[str, Any], **given: Any) -> Any:
        """Return the kernel of a method, ready for work.

        `parameters`: the method's own; those left out have their defaults. `given`: what the step
        gives to all its methods. Raises ConfigError for an unknown method, unknown parameters and
        values out of bounds.
        """
        method = find(self.kind, name, self)
        if not isinstance(method, Method):
            self._refuse_unknown(name, parameters, _keywords(method, given, parameters))
            return method(**given, **parameters)
        self._refuse_unknown(name, parameters, [*method.parameters, *method.data])
        data = {key: value for key, value in parameters.items() if key in method.data}
        own = {key: value for key, value in parameters.items() if key not in data}
        what = self._sentences.bounds.format(method=name)
        try:
            settings = method.settings(**own)
        except ValueError as error:
            raise _wrong(f"{what}: {error}", own) from error
        if what:
            _check_bounds(settings, what)
        return load(method.kernel)(settings, **given, **data)

    def _refuse_unknown(self, name: str, given: Iterable[str], known: list[str]) -> None:
        if unknown := sorted(set(given) - set(known)):
            words = {"method": name, "unknown": ", ".join(unknown), "first": unknown[0]}
            words["known"] = ", ".join(dict.fromkeys(known)) or "none"
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
    """Bounds of one branch of a union, such as a number or the path of a file, as in `setting`."""

    def __init__(self, *, check: Callable[[Any], Any] | None = None, **bounds: Any):
        self._check, self._bounds = check, bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Return the schema that pydantic makes of the branch, with bounds and a last check."""
        from pydantic_core.core_schema import no_info_after_validator_function

        schema = {**handler(source), **self._bounds}
        return no_info_after_validator_function(self._check, schema) if self._check else schema


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


def _wrong(message: str, values: Mapping[str, Any]) -> ConfigError:
    found = ", ".join(f"{name} = {value}" for name, value in values.items())
    return ConfigError(message, found=found, remedy="correct these settings")


def _check_bounds(settings: Any, what: str) -> None:
    """Refuse numbers out of the bounds that their fields tell, all in one error."""
    wrong: dict[str, dict[str, Any]] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        for key, (holds, words) in _BOUNDS.items():
            bound = field.metadata.get(key)
            if bound is not None and value is not None and not holds(value, bound):
                wrong.setdefault(words.format(bound), {})[field.name] = value
                break
    if wrong:
        said = [f"{', '.join(n)} must be {words}{_unit(n)}" for words, n in wrong.items()]
        values = {name: value for names in wrong.values() for name, value in names.items()}
        raise _wrong(f"{what}: {'; '.join(said)}", values)


def _unit(names: Iterable[str]) -> str:
    """Return the unit that names have in common, which is the last part of each."""
    units = {_UNITS.get(name.rpartition("_")[2], "") for name in names}
    return units.pop() if len(units) == 1 else ""
