"""The only place that knows Snakemake: planning for the Snakefile, and the frame of every job."""
