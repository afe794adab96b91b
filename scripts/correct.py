"""Step 3: subtract the background of one fluorescence channel of one FOV."""

from functools import partial

import numpy as np

from fovflow.adapter.job import job
from fovflow.background import BackgroundStats, bleaching_factors, get_corrector
from fovflow.frametable import FrameTable
from fovflow.illumination import read_image
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

with (
    job(snakemake) as this,
    StackReader(snakemake.input.stack) as images,
    StackReader(snakemake.input.labels) as labels,
):
    options, shape = snakemake.params.options, images.shape[1:]
    files = {key: snakemake.input.get(key) for key in ("dark", "flat_field")}
    given = {key: read_image(name, shape) for key, name in files.items() if name}
    make = partial(get_corrector, shape=shape, **(options["arguments"] | given))
    times = read_csv(snakemake.input.times)
    missing = times["missing"]
    factors = np.ones(len(images))
    if options["bleach"] == "exponential":
        levels, corrector = np.full(len(images), np.nan), make()
        for t in this.frames(len(images), "levels"):
            if not missing[t]:
                levels[t] = corrector(images.frame(t), labels.frame(t))[1].background_level
        factors = bleaching_factors(levels, times["time_s"])
    corrector, table, frame = make(), FrameTable(BackgroundStats), np.zeros(shape, np.float32)
    with StackWriter(snakemake.output.corrected, images.shape, np.float32) as out:
        for t in this.frames(len(images)):
            if missing[t]:
                out.append(np.zeros(shape, np.float32))
                table.add_missing(t)
            else:
                frame, stats = corrector(images.frame(t), labels.frame(t), out=frame)
                if factors[t] != 1:
                    frame *= np.float32(factors[t])
                out.append(frame)
                table.add(t, stats)
                this.measure(background_level=stats.background_level, noise_sigma=stats.noise_sigma)
    write_csv(snakemake.output.frames, table.columns())
