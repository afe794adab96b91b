"""A CZI writer, where pylibCZIrw is installed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Unpack

from fovflow.atomic import remove_leftovers
from fovflow.errors import FovflowError
from fovflow.simulation.source import About, Frames, describe

_BETWEEN_PX = 64
"""Distance between the scenes on the file's canvas (px)."""


def write_czi(
    path: str | os.PathLike[str],
    frames: Frames,
    *,
    missing: Iterable[tuple[int, int]] = (),
    **about: Unpack[About],
) -> list[Path]:
    """Write a CZI, one scene per position.

    It carries channel names and pixel size; the library writes neither the times of frames nor
    the stage. A CZI holds random identifiers and its date, so two are never the same bytes.
    Parameters as in `source.describe`, and:

    Parameters
    ----------
    missing : iterable of (int, int)
        (position, frame) pairs whose planes are left out; they read as 0.

    Returns
    -------
    list of Path
        The file written.

    Raises
    ------
    FovflowError
        Where pylibCZIrw is not installed.
    """
    source = describe(frames, **about)
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise FovflowError(
            "CZI files need the package pylibCZIrw", remedy='install "fovflow[czi]"'
        ) from error
    target, absent = Path(path), frozenset(missing)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    n_frames, n_positions, _, _, width = source.shape
    with czi.create_czi(str(temporary), exist_ok=True) as writer:
        for p in range(n_positions):
            corner = (p * (width + _BETWEEN_PX), 0)
            for t in range(n_frames):
                if (p, t) in absent:
                    continue
                for c, plane in enumerate(source.frame(p, t)):
                    writer.write(
                        plane[..., None],
                        location=corner,
                        plane={"C": c, "T": t, "Z": 0},
                        scene=p,
                    )
        writer.write_metadata(
            document_name=target.stem,
            channel_names=dict(enumerate(source.channels)),
            scale_x=source.pixel_um * 1e-6,
            scale_y=source.pixel_um * 1e-6,
        )
    temporary.replace(target)
    return [target]
