"""What is run to be recorded: movies, configurations, scripts."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

_SPEC = importlib.util.find_spec("fovflow")
assert _SPEC is not None
assert _SPEC.origin is not None
CLONE = Path(_SPEC.origin).parents[2]
SECTIONS = {
    "outputs": "files that the pipeline and the commands make",
    "arrays": "functions on arrays",
    "helps": "--help of the commands",
    "json": "what commands print with --json",
    "texts": "what commands print, with their exit status",
    "documents": "configuration template, schema and pages",
    "api": "public names and their signatures",
}
INFORMATIONAL = {"records": "names and kinds of the facts in records"}

MOVIE = (
    "--positions 2 --frames 4 --height 528 --width 560 --cells 10 --touching 0.4 --divisions 1 "
    "--births 1 --deaths 1 --shading 0.3 --bleaching 0.02 --seed 3"
)
SMALL = "--positions 2 --frames 6 --height 288 --width 320 --cells 6 --shading 0.3 --seed 5"
CONTAINERS = {
    "nd2": "raw/movie.nd2",
    "ome": "raw/movie.ome.tif",
    "series": "raw/series",
    "zarr": "raw/movie.ome.zarr",
    "czi": "raw/movie.czi",
}
FIVE = """
datasets:
  nd2: {path: raw/movie.nd2}
  ome: {path: raw/movie.ome.tif}
  series: {path: "raw/series/*.tif", pixel_um: 0.65, interval_s: 600}
  zarr: {path: raw/movie.ome.zarr}
  czi: {path: raw/movie.czi, interval_s: 600}
"""
CONFIGS = {
    "classic": f"""
{FIVE}
outdir: classic
segment: {{method: classic}}
correct: {{method: classic}}
track: {{method: classic}}
qc: {{preset: classic}}
run: {{name: classic-methods}}
""",
    "defaults": f"""
{FIVE}
outdir: defaults
keep: all
steps:
  - {{name: bright, script: my_steps.py, function: bright_cells, outputs: [bright.csv]}}
run: {{name: default-methods}}
""",
    "special": """
outdir: special
datasets:
  two: {path: "raw/two/*.tif", pixel_um: 0.65, interval_s: 300}
  part: {path: raw/movie.nd2, fovs: "1, 7", frames: "0-2", channels: {pc: Phase, fl: [GFP]}}
  torn: {path: raw/torn.ome.zarr, frames: {range: "1-3", step: 1}}
  timeless: {path: raw/movie.czi}
  absent: {path: raw/absent.nd2}
time_units: s
keep: [pc, seg_labeled]
copy: {crop: {y1: 280, x0: 8, x1: 312}}
segment: {method: logstd, min_area_um2: 40}
correct: {method: tiles, dark: 95, flat_field: estimate, bleach: exponential, tile_px: 128}
track: {method: iou, max_gap: 1}
extract:
  features:
    pc: [area, aspect_ratio, circularity, perimeter, eccentricity, orientation, major_axis,
         minor_axis, equivalent_diameter, extent, convex_area, solidity, phase_mean, phase_std,
         sharpness]
    fl: [intensity_total, intensity_mean, background_mean, saturated_fraction, intensity_px]
  erosion_px: 1
  background_weight: 0.9
  saturation: 4095
qc: {min_frames: 3, border_um: 4, border_measure: centroid, verdict: cell, reject: [border],
     note: [gap]}
steps:
  - name: bright
    script: my_steps.py
    function: bright_cells
    outputs: [bright.csv]
    args: {threshold: 50.0}
    fov_args: {"1": {threshold: 5.0}}
  - name: largest
    script: my_steps.py
    function: largest_area
    inputs: [seg_labeled, bright]
    outputs: [areas.npy, summary.txt]
run:
  name: special-options
  tags: [freeze]
  metadata: {dose: 2.5, license: CC-BY-4.0}
  description: options that are seldom used
  progress_every: 2
  resources_interval_s: 0
  alerts:
    - {name: objects, metric: n_objects, rule: is above, threshold: 0, frequency_s: 0.5}
""",
    "nuclear": """
outdir: nuclear
datasets: config/nuclear.tsv
channels: {pc: null, fl: [GFP], seg: GFP}
keep: []
segment: {method: threshold, min_area_um2: 10}
correct: {method: constant, dark: 95}
track: {method: iou, drift: false, divisions: false}
run: {name: nuclear-marker}
""",
}
TABLE = "dataset\tpath\tfovs\tpc\tfl\nmarked\traw/movie.ome.tif\t0\t\tGFP\n"
WRONG_CONFIGS = {
    "unknown keys": "datasets: {a: {path: raw/a.nd2, pixel: 1}}\nsegmnt: {}\nqc: {reject: [foo]}\n",
    "wrong values": "datasets: {a: {path: raw/a.nd2, pixel_um: -1}}\nchannels: {pc: -1, fl: [0]}\n"
    "fovs: 5-3\nframes: x\nkeep: [seg, seg]\nextract: {features: {pc: [areal]}}\ncopy: {z: min}\n",
    "no datasets": "outdir: results\n",
    "unknown methods": "datasets: {a: {path: a.nd2}}\nsegment: {method: logst}\n"
    "correct: {method: tile}\ntrack: {method: io}\n",
    "parameters of other methods": "datasets: {a: {path: a.nd2}}\n"
    "segment: {method: classic, n_sigma: 3}\ncorrect: {method: none, tile_px: 3}\n"
    "track: {method: classic, max_gap: 2}\n",
    "user steps": "datasets: {a: {path: a.nd2}}\nsteps:\n"
    "  - {name: copy, script: s.py, function: f, outputs: [a.csv]}\n"
    "  - {name: Two, script: s.py, function: f, outputs: [../a.csv]}\n"
    "  - {name: three, script: s.py, function: f, inputs: [four], outputs: [a.csv, a.csv]}\n",
    "alerts": "datasets: {a: {path: a.nd2}}\nrun: {workflow_type: cooking, alerts: [{name: a}, "
    "{name: a, source: events, pattern: '('}, {name: b, metric: m, rule: is above}]}\n",
    "tags": "datasets: !!python/object/apply:os.system [ls]\n",
}
STEPS = '''
def bright_cells(fov, outputs, threshold=100.0):
    """Write the mean intensity of each cell that is brighter than a threshold."""
    means = fov.traces().groupby("cell")["intensity_mean_ch_1"].mean()
    means[means > threshold].to_csv(outputs["bright.csv"])


def largest_area(fov, outputs):
    """Write the area of the largest cell in each frame, in pixels."""
    import numpy as np

    labels = fov.stack("seg_labeled")
    areas = [np.bincount(frame.ravel())[1:].max(initial=0) for frame in labels]
    np.save(outputs["areas.npy"], np.array(areas))
    n_bright = len(fov.output("bright", "bright.csv").read_text().splitlines()) - 1
    outputs["summary.txt"].write_text(f"{n_bright} bright cells in {fov.name}\\n")
'''
SCRIPT = """
import time
from pathlib import Path

import numpy as np

import fovflow


def count(fov, least=1):
    return int((fov.traces().groupby("cell").size() >= least).sum())


outcome = fovflow.run("config/nuclear.yaml", cores=2, quiet=True)
print("run:", bool(outcome), outcome.returncode, sorted(outcome.results), outcome.problems)
results = fovflow.load_results("special/two")
for fov in results.fovs.values():
    print(fov.name, fov.status, sorted(fov.stacks), fov.output("largest", "summary.txt").name)
print("missing:", [path.name for path in results.missing], results.channels, results.time_units)
print("traces:", results.traces().shape, list(results.traces().columns))
counts = fovflow.map_fovs(count, "special", least=2, show_progress=False, workers=2)
for name, outcome in counts.items():
    print(name, outcome.value if outcome.ok else outcome.error)
for call in (
    lambda: fovflow.load_results("special/torn").traces(),
    lambda: fovflow.open_raw("raw/absent.nd2"),
    lambda: fovflow.segment_stack(np.zeros((1, 8, 8), np.uint16)),
    lambda: fovflow.segment_stack(np.zeros((1, 8, 8), np.uint16), method="logst", pixel_um=1),
    lambda: fovflow.segment_stack(np.zeros((1, 8, 8), np.uint16), pixel_um=1, n_sigm=3),
    lambda: fovflow.track_stack(np.zeros((1, 8, 8), np.uint16), pixel_um=1, max_gap=-1),
    lambda: fovflow.correct_stack(np.zeros((1, 8, 8), np.uint16), None, method="classic"),
    lambda: fovflow.extract_traces(np.zeros((1, 8, 8), np.uint16), features={"pc": ["areal"]}),
    lambda: fovflow.run({"datasets": {}, "segmnt": 1}),
    lambda: fovflow.Run(mode="online"),
    lambda: fovflow.execution(workflow_type="cooking", outdir="script").__enter__(),
):
    try:
        print("no error:", type(call()).__name__)
    except Exception as error:
        print(type(error).__name__, error)
with fovflow.Run(outdir="script") as run:
    run.config(resources_metrics_interval=1000)
    run.init("first-fit", metadata={"dose": 2.5}, tags=["demo"], description="a fit of noise")
    run.add_alert("diverges", metric="loss", rule="is above", threshold=100)
    run.add_alert("lost", source="events", pattern="frame .* lost")
    for epoch in range(3):
        run.log_metrics({"loss": 1 / (epoch + 1)})
    run.log_event("frame 7 was lost")
    run.save(np.arange(3), name="parameters")
    run.save({"loss": 1 / 3}, name="summary")
    run.save("my_steps.py", category="code")
print("Run:", run.status)
time.sleep(1)
with fovflow.execution(
    outdir="script", name="mean-area", description="mean area of all cells",
    datasets=["special/two/fov_000/two_fov_000_traces.csv"], parameters={"column": "area"},
) as exe:
    exe.update_status("reading")
    table = exe.output_path("Table", "mean.csv")
    table.write_text("mean,250\\n")
    exe.register("my_steps.py", "Input copy", mode="copy", rename="steps used.py")
    exe.run.log_metrics({"mean_area": 250.0})
    exe.create_dataset([table], version="1.0.0", description="the mean")
print("execution:", exe.status)
time.sleep(1)
try:
    with fovflow.execution(outdir="script", name="fails"):
        raise ValueError("too bad")
except ValueError as error:
    print("execution fails:", error)
"""

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("FOVFLOW")},
    **{"COLUMNS": "100", "LINES": "40", "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"},
    **{"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
    "PYTHONHASHSEED": "0",  # some reasons of Snakemake are sets
}
