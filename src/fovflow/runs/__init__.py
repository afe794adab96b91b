"""Run records: what was done, when, by what, with which outcome.

One store, one event form: everything that happens in a run is a line of JSON in a file with one
writer, below ``{outdir}/runs/{run}/``. See ``docs/runs.md``.
"""
