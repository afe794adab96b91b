"""Step 1: copy one FOV's planes from the raw file into npy stacks."""

from contextlib import ExitStack

import numpy as np

from fovflow.adapter.job import job
from fovflow.copying import choose_z, crop_plane, frame_table, read_plane
from fovflow.readers import open_raw
from fovflow.stacks import StackWriter
from fovflow.tables import write_csv

with job(snakemake) as this, ExitStack() as stack:
    options = snakemake.params.options
    channels, p = snakemake.params.channels, int(snakemake.wildcards.fov)
    raw = stack.enter_context(open_raw(**this.raw_file(snakemake)))
    table = frame_table(raw, p, options["frames"], options["interval_s"])
    names = {channel.index: channel.name for channel in raw.info.channels}
    planes = {c: choose_z(options["z"], c, names[c]) for c in channels}
    shape = (len(table["frame"]), *options["shape"])
    writers = {
        c: stack.enter_context(StackWriter(name, shape, np.dtype(raw.info.dtype)))
        for c, name in zip(channels, snakemake.output.stacks, strict=True)
    }
    for i in this.frames(len(table["frame"])):
        for c in channels:
            plane = read_plane(raw, p, int(table["source_frame"][i]), c, planes[c])
            writers[c].append(crop_plane(plane, options["crop"]))
    this.check_raw_file(snakemake)
    write_csv(snakemake.output.times, table)
