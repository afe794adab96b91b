"""Commands that hand results on to other programs: export, napari."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from fovflow.cli.common import FOLDER, argument, chosen_outdir, command, flag
from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.units import parse_ranges


@command(
    "fovflow export ome-tiff results/plate1 --fovs 0-3",
    argument("format", metavar="FORMAT", help="list: all formats and what they are for"),
    FOLDER,
    argument("--fovs", help='FOVs, such as "0-3" (default: all that are complete)'),
    argument("--out", help="folder to write to (default: FOLDER/exports/FORMAT)"),
    flag("--good-only", help="leave out what is not good: rows, links, labels"),
    flag("--force", help="replace what is there already"),
    argument("--pixel-um", type=float, help="size of a pixel (µm), where results do not tell it"),
    argument("--form", help="of pyama: 2025-11 (default) or 2025-10"),
)
def export(
    format: str,
    folder: str | None,
    *,
    fovs: str | None,
    out: str | None,
    good_only: bool,
    force: bool,
    pixel_um: float | None,
    form: str | None,
) -> int:
    """Write an export and print its files; return 1 if an FOV was left out."""
    from fovflow.export import export as write
    from fovflow.export import find_format, format_names
    from fovflow.results import load_datasets

    if format == "list":
        width = max(map(len, format_names()))
        for name in format_names():
            print(f"{name:<{width}}  {find_format(name, installed=False).words}")
        return 0
    find_format(format)
    chosen = parse_ranges(fovs, "--fovs") if fovs not in (None, "all") else None
    begun = [
        write(
            results,
            format,
            fovs=chosen,
            out=Path(out) if out else None,
            good_only=good_only,
            force=force,
            pixel_um=pixel_um,
            form=form,
        )
        for results in load_datasets(chosen_outdir(folder)).values()
    ]
    failed = False
    for each in chain.from_iterable(begun):
        if isinstance(each, Path):
            print(each, flush=True)
        else:
            complain(f"fovflow: {each}")
            failed |= isinstance(each, FovflowError)
    return 1 if failed else 0


@command(
    "fovflow napari results/plate1 --fovs 3",
    FOLDER,
    argument("--fovs", help='FOVs, such as "0-3" (default: the first four)'),
)
def napari(folder: str | None, fovs: str | None) -> int:
    """Open results in napari, and return when its window is closed."""
    if find_spec("napari") is None:
        raise ConfigError("napari is not installed", remedy='pip install "fovflow[napari]"')
    from fovflow.export.napari import layers

    found = layers(chosen_outdir(folder), parse_ranges(fovs, "--fovs") if fovs else None)
    import napari as program

    try:
        viewer = program.Viewer()
        for data, about, kind in found:
            getattr(viewer, f"add_{kind}")(data, **about)
        program.run()
    except ImportError as error:
        raise ConfigError(
            "napari cannot open a window", found="no Qt", remedy='pip install "fovflow[napari]"'
        ) from error
    return 0
