"""Step 2: find the cells of each frame of one FOV."""

import numpy as np

from fovflow.adapter.job import job
from fovflow.frametable import FrameTable
from fovflow.segmentation import FrameStats, get_segmenter
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv

with job(snakemake) as this, StackReader(snakemake.input.stack) as images:
    segmenter = get_segmenter(**snakemake.params.options["arguments"])
    missing = read_csv(snakemake.input.times)["missing"]
    table = FrameTable(FrameStats)
    with StackWriter(snakemake.output.labels, images.shape, np.uint16) as out:
        for t in this.frames(len(images)):
            if missing[t]:
                out.append(np.zeros(images.shape[1:], np.uint16))
                table.add_missing(t)
            else:
                labels, stats = segmenter(images.frame(t))
                out.append(labels)
                table.add(t, stats)
                this.measure(n_objects=stats.n_objects, threshold=stats.threshold)
    write_csv(snakemake.output.frames, table.columns())
