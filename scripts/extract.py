"""Step 5: measure the cells of one FOV over time, and judge them."""

from contextlib import ExitStack

import numpy as np

from fovflow.adapter.job import job
from fovflow.features import get_extractor
from fovflow.quality import judge, ledger
from fovflow.rowfile import RowFile
from fovflow.stacks import StackReader
from fovflow.tables import read_csv, write_csv
from fovflow.units import SECONDS_PER

with job(snakemake) as this, ExitStack() as stack:
    options, given = snakemake.params.options, snakemake.input
    arguments, times = options["arguments"], read_csv(given.times)
    labeled, pc = (stack.enter_context(StackReader(name)) for name in (given.labeled, given.pc))
    fl = {
        c: [stack.enter_context(StackReader(name)) for name in names]
        for c, *names in zip(arguments["fl"], given.fl, given.corrected, strict=True)
    }
    extractor = get_extractor(
        rows=stack.enter_context(RowFile(snakemake.output.traces)),
        fov=int(snakemake.wildcards.fov),
        time=times["time_s"] / SECONDS_PER[options["time_units"]],
        **arguments,
    )
    for t in this.frames(len(labeled)):
        if not times["missing"][t]:
            extractor.add(
                t,
                labeled.frame(t),
                pc.frame(t),
                {c: (raw.frame(t), corrected.frame(t)) for c, (raw, corrected) in fl.items()},
            )
    traces = judge(
        extractor.finish(),
        shape=labeled.shape,
        pixel_um=arguments["pixel_um"],
        missing=np.flatnonzero(times["missing"]).tolist(),
        links=read_csv(given.tracks, columns={"cell", "frame", "parent", "merged"}.__contains__),
        **options["qc"],
    )
    found = ledger(traces)
    this.note(f"detected and kept: {found}")
    this.measure(n_cells=found["cells"]["detected"], n_good_cells=found["cells"]["kept"])
    write_csv(snakemake.output.traces, traces)
