"""The Cell Tracking Challenge's form: a sequence per FOV, its frames and the result's ids.

``01`` is the first FOV. An id that is lost for some frames goes on under a new one, as the form
wants it, whose mother it is: see `fovflow.accuracy.ctc.write_sequence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fovflow.accuracy.ctc import digits, write_sequence
from fovflow.export.fov import ExportedFov, Format


def _write(fovs: Sequence[ExportedFov], folder: Path) -> None:
    import tifffile

    place = folder / fovs[0].fov.dataset
    for fov in fovs:
        name = f"{fov.fov.index + 1:02d}"
        with fov.labels() as labels:
            write_sequence(place, name, labels, fov.mothers)
        for image in fov.images[:1]:
            (place / name).mkdir()
            with fov.fov.reader(image.kind, image.channel) as stack:
                for t, frame in enumerate(stack):
                    file = place / name / f"t{t:0{digits(stack.shape[0])}d}.tif"
                    tifffile.imwrite(file, frame, compression="zlib")


FORMAT = Format(
    "the Cell Tracking Challenge's folders of results (traccuracy, py-ctcmetrics)",
    _write,
    ("",),
    needs=("labels", "tracks"),
    wants=("images",),
    per_fov=False,
)
