"""Estimate the flat-field of one fluorescence channel over all FOVs of a dataset."""

from fovflow.adapter.job import job
from fovflow.background import estimate_flat_field
from fovflow.illumination import read_image, sampled_frames
from fovflow.readers import open_raw
from fovflow.stacks import write_image

with job(snakemake) as this, open_raw(**this.raw_file(snakemake)) as raw:
    options = snakemake.params.options
    frames = sampled_frames(raw, int(snakemake.wildcards.channel), options, note=this.note)
    dark = snakemake.input.get("dark")
    given = {"dark": read_image(dark, tuple(options["shape"]))} if dark else {}
    flat_field = estimate_flat_field(frames, **(options["arguments"] | given))
    this.check_raw_file(snakemake)
    write_image(snakemake.output[0], flat_field)
