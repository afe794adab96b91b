"""Step 5: measure the cells of one FOV over time."""

from contextlib import ExitStack

from fovflow.adapter.job import job
from fovflow.features import get_extractor
from fovflow.stacks import StackReader
from fovflow.tables import read_csv, write_csv
from fovflow.units import SECONDS_PER

with job(snakemake) as this, ExitStack() as stack:
    options = snakemake.params.options
    times = read_csv(snakemake.input.times)

    def reader(name):
        """Open a stack until the job ends."""
        return stack.enter_context(StackReader(name))

    labeled = reader(snakemake.input.labeled)
    pc = reader(snakemake.input.pc) if "pc" in snakemake.input.keys() else None  # noqa: SIM118
    channels = options["arguments"]["fl"]
    fl = {
        c: (reader(raw), reader(corrected))
        for c, raw, corrected in zip(
            channels, snakemake.input.fl, snakemake.input.corrected, strict=True
        )
    }
    extractor = get_extractor(
        fov=int(snakemake.wildcards.fov),
        time=times["time_s"] / SECONDS_PER[options["time_units"]],
        **options["arguments"],
    )
    for t in this.frames(len(labeled)):
        if not times["missing"][t]:
            extractor.add(
                t,
                labeled.frame(t),
                None if pc is None else pc.frame(t),
                {c: (raw.frame(t), corrected.frame(t)) for c, (raw, corrected) in fl.items()},
            )
    write_csv(snakemake.output.traces, extractor.finish())
