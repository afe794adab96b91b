"""The command that shows settings of segmentation side by side: try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.cli.common import CONFIG, JSON, argument, command, print_result
from fovflow.errors import ConfigError, FovflowError

if TYPE_CHECKING:
    from fovflow.planning.trials import Attempt, Setting, Subject

PAGE = "try.html"


@command(
    "fovflow try --fov 0 --frames 0,50,99 --set segment.n_sigma=3,4,5",
    argument(
        "file",
        nargs="*",
        help=f"configuration, or a raw file or series without one (default: {CONFIG})",
    ),
    argument("--dataset", help="dataset, where the configuration has several"),
    argument("--fov", type=int, default=0, help="field of view, from 0 (default: 0)"),
    argument("--frames", help='frames, such as "0,50,99" (default: first, middle, last)'),
    argument("--methods", help="methods to try, such as logstd,unet (default: these two)"),
    argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="segment.NAME=A,B,C",
        help="values of a parameter to try; with several, every combination",
    ),
    argument("--channel", help="of a raw file: its phase-contrast channel, by name or index"),
    argument("--pixel-um", type=float, help="of a raw file that does not say it (µm)"),
    argument("--pattern", help="of a series: such as '{position}/{channel}_{time}.tif'"),
    argument("--out", default=PAGE, help=f"page to write (default: {PAGE})"),
    argument(
        "--write",
        nargs="?",
        type=int,
        const=0,
        metavar="NUMBER",
        help="put this setting into the configuration; without a number the better method",
    ),
    JSON,
)
def try_(
    file: list[str],
    *,
    dataset: str | None,
    fov: int,
    frames: str | None,
    methods: str | None,
    sets: list[str],
    channel: str | None,
    pixel_um: float | None,
    pattern: str | None,
    out: str,
    write: int | None,
    json: bool,
) -> int:
    """Find cells with each setting, write the page, print a table; with --write choose one."""
    from fovflow.atomic import write_text
    from fovflow.planning.choice import choose
    from fovflow.planning.trials import (
        choose_settings,
        of_both,
        parse_sets,
        read_subject,
        try_settings,
    )
    from fovflow.progress import Progress
    from fovflow.report.trial import trial_page

    config = _configuration(file)
    of_raw = {"--channel": channel, "--pixel-um": pixel_um, "--pattern": pattern}
    if config is None:
        if write is not None:
            raise ConfigError(
                "--write: there is no configuration to write into",
                remedy="make one with: fovflow init, and try with it",
            )
        content: Mapping[str, Any] = _guessed(file, channel, pixel_um, pattern)
    else:
        from fovflow.config.load import read_config

        if unused := [name for name, value in of_raw.items() if value is not None]:
            raise ConfigError(
                f"{', '.join(unused)}: only for a raw file without a configuration",
                remedy=f"change {config}",
            )
        content = read_config(config)
    named = [name.strip() for name in methods.split(",")] if methods is not None else []
    settings = choose_settings(content, named, parse_sets(sets))
    places = of_both(settings)
    chosen = None if write is None or (write == 0 and places) else _chosen(settings, write)
    subject = read_subject(settings, _dataset(settings[0], dataset), fov, frames)
    lines = [_line(setting) for setting in settings]
    with Progress(len(settings) * len(subject.frames), "try", unit="frame", leave=False) as bar:
        attempts = try_settings(settings, subject, bar.count)
    found = {method: [each.stats for each in attempts[i]] for method, i in places.items()}
    choice = choose(found) if places else None
    best = settings[places[choice.method]] if choice and choice.suits else None
    advice = f"{best.number}, {best.name}: {choice.reason}" if best and choice else None
    write_text(out, trial_page(settings, lines, subject, attempts, advice))
    content = _content(settings, lines, subject, attempts, out)
    print_result(
        json,
        {**content, "better": best.number if best else None},
        lambda: _table(settings, lines, subject, attempts),
    )
    if not json:
        print(f"\nbetter: {advice}\n" if advice else "\n", f"page: {out}", sep="")
    if write is not None and config is not None:
        note = choice.reason if best and choice and chosen is None else ""
        _write(config, chosen or best or _chosen(settings, write), note=note, said=not json)
    elif config is not None and not json:
        number = " NUMBER" if len(settings) > 1 else ""
        print(f"to put one into {config}: the same command with --write{number}")
    return 0


def _configuration(files: Sequence[str]) -> Path | None:
    """Return the configuration that was named or is there; None where raw files were named."""
    named = [file for file in files if file.lower().endswith((".yaml", ".yml"))]
    if len(named) > 1 or (named and len(files) > 1):
        raise ConfigError(
            "try takes one configuration, or raw files of one dataset", found=", ".join(files)
        )
    if not files and not Path(CONFIG).exists():
        raise ConfigError(
            f"there is nothing to try on: no {CONFIG} here",
            remedy="name a configuration or a raw file, as in: fovflow try data/plate1.nd2",
        )
    return Path(named[0] if named else CONFIG) if named or not files else None


def _guessed(
    files: Sequence[str], channel: str | None, pixel_um: float | None, pattern: str | None
) -> dict[str, Any]:
    """Return the configuration of a raw file as `fovflow init` guesses it."""
    from fovflow.cli.project import Channels, dataset_name, look_at

    found = look_at(files, pattern)
    if len(found) > 1:
        raise ConfigError(
            "try takes raw files of one dataset", found=", ".join(path for path, _ in found)
        )
    ((path, info),) = found
    phase: str | int | None = channel if channel is not None else Channels.of(info).phase
    if phase is None and [each.name for each in info.channels] == [""]:
        phase = 0  # the only one, without a name
    if phase is None:
        raise ConfigError(
            f"{path}: which channel is phase contrast?",
            found=", ".join(f"{each.index} = {each.name or 'unnamed'}" for each in info.channels),
            remedy="name it with --channel",
        )
    if pixel_um is None and info.pixel_um is None:
        raise ConfigError(
            f"{path} does not say how large a pixel is", remedy="say it with --pixel-um, in µm"
        )
    if pixel_um is not None and not 0 < pixel_um < math.inf:
        raise ConfigError(f"--pixel-um {pixel_um:g}: no length", remedy="give it in µm, above 0")
    given = {"path": path, "pattern": pattern, "pixel_um": pixel_um}
    return {
        "datasets": {dataset_name(path): {k: v for k, v in given.items() if v is not None}},
        "channels": {"pc": phase, "fl": []},
    }


def _dataset(setting: Setting, wanted: str | None) -> str:
    names = list(setting.config.datasets)
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        what = "there are several datasets" if wanted is None else f"there is no dataset {wanted!r}"
        raise ConfigError(what, found=", ".join(names), remedy="name one of them with --dataset")
    return wanted


def _chosen(settings: Sequence[Setting], number: int) -> Setting:
    if number == 0 and len(settings) == 1:
        return settings[0]
    if not 1 <= number <= len(settings):
        raise ConfigError(
            "--write: which setting?" if number == 0 else f"--write: there is no setting {number}",
            found="; ".join(f"{each.number} = {each.name}" for each in settings),
            remedy=f"name it by its number: --write {len(settings)}",
        )
    return settings[number - 1]


def _line(setting: Setting) -> str:
    from fovflow.config.edit import section_line

    return section_line("segment", setting.section)


def _write(config: Path, setting: Setting, *, note: str = "", said: bool) -> None:
    """Put a setting into the configuration, and why; all other bytes stay."""
    from fovflow.atomic import write_text
    from fovflow.config.edit import note_section, replace_section

    place = config.resolve()
    try:
        text = place.read_bytes().decode("utf-8")
        changed = replace_section(text, "segment", setting.section, _defaults(setting))
        changed = note_section(changed, "segment", note)
        if changed != text:
            mode = place.stat().st_mode
            write_text(place, changed)
            place.chmod(mode)
    except OSError as error:
        raise FovflowError(
            f"cannot write {config}", found=error.strerror, remedy=f"write there: {_line(setting)}"
        ) from error
    if said:
        print(f"{config} has setting {setting.number} now: {_line(setting)}")


def _defaults(setting: Setting) -> Mapping[str, Any]:
    import dataclasses

    segment = setting.config.segment
    if not dataclasses.is_dataclass(segment):
        return {"options": {}}
    return {field.name: field.default for field in dataclasses.fields(segment)}


def _content(
    settings: Sequence[Setting],
    lines: Sequence[str],
    subject: Subject,
    attempts: Sequence[Sequence[Attempt]],
    out: str,
) -> dict[str, Any]:
    """Return what was found as plain values."""
    area = "median_area_um2" if subject.plan.pixel_um else "median_area_px"

    def found(each: Attempt, frame: int) -> dict[str, Any]:
        median = None if each.stats.n_objects == 0 else round(each.median_area, 2)
        return {
            "frame": frame,
            "cells": each.stats.n_objects,
            area: median,
            "flag": each.stats.flag,
            "seconds": round(each.seconds, 4),
        }

    return {
        "dataset": subject.plan.name,
        "fov": subject.fov,
        "page": out,
        "settings": [
            {
                "number": setting.number,
                "line": line,
                "frames": [found(a, t) for a, t in zip(row, subject.frames, strict=True)],
            }
            for setting, line, row in zip(settings, lines, attempts, strict=True)
        ],
    }


def _table(
    settings: Sequence[Setting],
    lines: Sequence[str],
    subject: Subject,
    attempts: Sequence[Sequence[Attempt]],
) -> list[str]:
    """Return the table for people: a row per setting, then its line for the configuration."""
    from fovflow.units import number

    unit = "µm²" if subject.plan.pixel_um else "px"
    heads = ["", "setting", *(f"frame {t}" for t in subject.frames), "s a frame", "flags"]
    rows = []
    for setting, row in zip(settings, attempts, strict=True):
        flags = [flag for each in row for flag in each.stats.flag.split("; ") if flag]
        cells = [f"{a.stats.n_objects} ({number(a.median_area)} {unit})" for a in row]
        seconds = f"{sum(a.seconds for a in row) / len(row):.2f}"
        told = ", ".join(f"{flag} ({flags.count(flag)})" for flag in dict.fromkeys(flags))
        rows.append([str(setting.number), setting.name, *cells, seconds, told])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    table = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]
    title = f"{subject.plan.name}, FOV {subject.fov}: cells (median area)"
    chosen = [f"{setting.number}  {line}" for setting, line in zip(settings, lines, strict=True)]
    return [title, "", *table, "", "in the configuration:", *chosen]
