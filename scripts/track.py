"""Step 4: give the cells of one FOV one id over time."""

from fovflow.adapter.job import job
from fovflow.stacks import StackReader, StackWriter
from fovflow.tables import read_csv, write_csv
from fovflow.tracking import get_tracker

with job(snakemake) as this, StackReader(snakemake.input.labels) as seg:
    tracker = get_tracker(**snakemake.params.options["arguments"])
    missing = read_csv(snakemake.input.times)["missing"]
    for t in this.frames(len(seg), "link"):
        if not missing[t]:
            tracker.add(t, seg.frame(t))
    lineage = tracker.finish()
    this.note(f"{lineage.n_cells} cells")
    this.measure(n_cells=lineage.n_cells)
    with StackWriter(snakemake.output.labeled, seg.shape, lineage.dtype) as out:
        for t in this.frames(len(seg), "label"):
            out.append(lineage.relabel(t, seg.frame(t)))
    write_csv(snakemake.output.tracks, lineage.links)
