"""Results in the forms of other programs: `export` writes them, `formats` lists them.

A format is a module of `fovflow.export.formats` with a `FORMAT`: adding one is adding a file.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from fovflow.atomic import atomic_entries
from fovflow.errors import ConfigError, FovflowError, did_you_mean, sentence_of_system
from fovflow.export import formats as _formats
from fovflow.export.fov import ExportedFov, Format
from fovflow.layout import EXPORTS
from fovflow.results import Results

__all__ = ["ExportedFov", "Format", "export", "find_format", "format_names"]


def format_names() -> list[str]:
    """Return the names of all formats."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(_formats.__path__))


def find_format(name: str, *, installed: bool = True) -> Format:
    """Return a format by its name; ConfigError for none, or one whose library is absent."""
    if name == "napari":
        raise ConfigError(
            "napari needs no export: it opens results as they are",
            remedy="drop processing_results.yaml on it, or run fovflow napari FOLDER",
        )
    if name not in format_names():
        raise ConfigError(
            f"there is no format {name!r}{did_you_mean(name, format_names())}",
            found=", ".join(format_names()),
            remedy="name one of these",
        )
    module = f"fovflow.export.formats.{name.replace('-', '_')}"
    found: Format = importlib.import_module(module).FORMAT
    if installed and found.package and find_spec(found.package) is None:
        raise ConfigError(
            f"the format {name} needs the package {found.package}, which is not installed",
            remedy=f'install it: pip install "fovflow[{found.extra}]"',
        )
    return found


def export(
    results: Results,
    name: str,
    *,
    fovs: Collection[int] | None = None,
    out: Path | None = None,
    good_only: bool = False,
    force: bool = False,
    pixel_um: float | None = None,
    form: str | None = None,
) -> Iterator[Path | str | FovflowError]:
    """Write results in the form of another program, FOV by FOV.

    Parameters
    ----------
    results : fovflow.results.Results
        Of one dataset.
    name : str
        One of `format_names`.
    fovs : collection of int, optional
        Indices; by default all.
    out : pathlib.Path, optional
        Folder to write to; by default ``exports/{name}`` in the dataset's.
    good_only : bool
        Whether rows, and labels of cells in frames, that are not good are left out.
    force : bool
        Whether files that are there already are replaced.
    pixel_um : float, optional
        Edge length of a pixel (µm), where the results do not tell it.
    form : str, optional
        Which form of the format, where it has several.

    Returns
    -------
    iterator of pathlib.Path, str or FovflowError
        Work is done as it goes on. What was written; what is less in it than could be; why an FOV
        is left out: others go on.

    Raises
    ------
    ConfigError
        If there is no such format, form or FOV; before anything is written.
    FovflowError
        If something is there already; before anything is written.
    """
    how = find_format(name)
    if form not in (None, *how.forms):
        raise ConfigError(
            f"{name} has no form {form!r}", found=", ".join(how.forms) or "one form alone"
        )
    if pixel_um is not None and not 0 < pixel_um < math.inf:
        raise ConfigError(f"--pixel-um {pixel_um}: a pixel has a size above 0 µm")
    if unknown := sorted({*(fovs or ())} - {*results.fovs}):
        raise ConfigError(
            f"{results.dataset} has no FOV {unknown[0]}", found=", ".join(map(str, results.fovs))
        )
    form = form or next(iter(how.forms), "")
    place = out or results.folder / EXPORTS / name
    chosen, left_out = [], []
    for index in sorted(results.fovs if fovs is None else fovs):
        each = ExportedFov(results.fovs[index], good_only, pixel_um, form)
        try:
            each.check(how)
            chosen.append(each)
        except FovflowError as error:
            left_out.append(error)
    groups = [[each] for each in chosen] if how.per_fov else [chosen][: len(chosen)]
    names = [group[0].base if how.per_fov else results.dataset for group in groups]
    targets = [place / f"{base}{end}" for base in names for end in how.suffixes]
    there = [path for path in targets if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise FovflowError(
            f"{there[0]}{more} is there already",
            remedy="write it again with --force, or elsewhere with --out",
        )
    return _written(how, place, dict(zip(names, groups, strict=True)), left_out)


def _written(
    how: Format,
    place: Path,
    groups: Mapping[str, Sequence[ExportedFov]],
    left_out: Sequence[FovflowError],
) -> Iterator[Path | str | FovflowError]:
    yield from left_out
    for base, group in groups.items():
        try:
            for fov in group:
                yield from fov.notes(how)
            with atomic_entries(place, base) as folder:
                how.write(group, folder)
                written = sorted(path.name for path in folder.iterdir())
            yield from (place / entry for entry in written)
        except OSError as error:
            yield FovflowError(sentence_of_system(error))
        except FovflowError as error:
            yield error
