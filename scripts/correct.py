"""Step 3: subtract the background of one fluorescence channel of one FOV."""

import numpy as np

from fovflow.adapter.job import job
from fovflow.background import BackgroundStats, get_corrector
from fovflow.frametable import FrameTable
from fovflow.illumination import read_image
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

with (
    job(snakemake) as this,
    StackReader(snakemake.input.stack) as images,
    StackReader(snakemake.input.labels) as labels,
):
    shape = images.shape[1:]
    given = {
        key: read_image(snakemake.input[key], shape)
        for key in ("dark", "flat_field")
        if key in snakemake.input.keys()  # noqa: SIM118
    }
    corrector = get_corrector(shape=shape, **(snakemake.params.options["arguments"] | given))
    missing = read_csv(snakemake.input.times)["missing"]
    table = FrameTable(BackgroundStats)
    with StackWriter(snakemake.output.corrected, images.shape, np.float32) as out:
        for t in this.frames(len(images)):
            if missing[t]:
                out.append(np.zeros(shape, np.float32))
                table.add_missing(t)
            else:
                corrected, stats = corrector(images.frame(t), labels.frame(t))
                out.append(corrected)
                table.add(t, stats)
    write_csv(snakemake.output.frames, table.columns())
