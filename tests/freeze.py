"""Record all that fovflow makes and says, so that two states of the code can be compared.

    python tests/freeze.py record BEFORE.json       # one to three minutes
    ...                                             # change the code
    python tests/freeze.py record AFTER.json
    python tests/freeze.py compare BEFORE.json AFTER.json

The pipeline runs on simulated movies in a temporary folder. Only the commands, the names in
``fovflow.__all__`` and in ``docs/python.md``, and files of the clone are used, so that modules may
move in between. What differs from run to run (times, ids, paths, measurements) stands as a
placeholder. The clone is the one that the running Python imports fovflow from.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

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

# ---------------------------------------------------------------- placeholders

RUN_ID = re.compile(r"\b\d{8}T\d{6}Z(-[\w-]+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:?\d\d:?\d\d([.,]\d+)?( ?UTC|Z|[+-]\d\d:?\d\d)?")
CLOCK = re.compile(
    r"\[?[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}\]?|\d+:\d\d:\d\d\b(\.\d+)?"
)
COMMIT = re.compile(r"\bcommit [0-9a-f]{7,40}( with changes)?|\b[0-9a-f]{40}\b")
GIT = re.compile(r"(\b(branch|commit|diff_sha256|dirty_files|repository|untracked)\b).*")
"""Facts whose kind depends on the state of the clone."""
SCRIPT_COPY = re.compile(r"\btmp\w{8}(?=\.\w+\.py)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLACEHOLDERS = {
    RUN_ID: "run", TIME: "time", CLOCK: "time", COMMIT: "commit", SCRIPT_COPY: "name", UUID: "uuid"
}  # fmt: skip
MEASURED = re.compile(
    r"(?<![\w.-])\d[\d.,]*(e-?\d+)? ?(ms|s|min|h|kB|KiB|MB|MiB|GB|GiB|%)(?![\w/])"
)
NUMBER_KEYS = re.compile(
    r"(^|_)(pid|seconds|duration|peak|rss|cpu|memory|mtime|clock|free)(_|$)|_mib$|^(logical|usable)$"
)
TEXT_KEYS = re.compile(
    r"^(host|hostname|user|os|machine|model|commit|diff_sha256|platform|python)$"
)
DURATION = re.compile(r"(?<![\w:.])\d+:\d\d(?![\w:])")
CHOSEN_BY_TIME, ORDERED_BY_TIME = "slowest jobs", "alerts"
"""Headings of lists whose items or order differ from run to run."""
NOT_SAID = re.compile(
    r"^ *(Base directory|Command|Config MD5|Config file\(s\)|Date|Host|Platform|Python version|"
    r"Run directory|Snakefile|Snakemake version|User|Work\w+ \w+|Elapsed time):|"
    r"^[\w-]+: (?!.*\b(completed|failed|terminated)\b).*\d+/\d+ jobs"
)
"""Snakemake's account of itself, and lines of progress."""


def plain(text: str, folder: Path) -> str:
    """Put placeholders for folders, programs, times and ids."""
    places = {
        str(folder): "<folder>",
        str(CLONE): "<clone>",
        sys.executable: "<python>",
        sys.prefix: "<environment>",
        f" on {socket.gethostname()}": " on <host>",
        f"host {socket.gethostname()}": "host <host>",
    }
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    for pattern, name in PLACEHOLDERS.items():
        text = pattern.sub(f"<{name}>", text)
    return text


def spoken(text: str, folder: Path) -> list[str]:
    """Return the lines of what a command printed, without measurements and alignment."""
    text = MEASURED.sub(r"<n> \2", DURATION.sub("<n> s", plain(text, folder)))
    text = re.sub(r"(?<=\S) {2,}", "  ", text)
    text = re.sub(r"\bpid \d+|(?<=\.smk\", )line \d+", "<n>", text)
    found = []
    lines = iter(line.rstrip() for line in text.splitlines())
    for line in lines:
        if line != CHOSEN_BY_TIME:
            found.append(line)
        if line in (CHOSEN_BY_TIME, ORDERED_BY_TIME):
            block = list(itertools.takewhile(bool, lines))
            found += sorted(block) if line == ORDERED_BY_TIME else []
    return found


def steady(value: Any, folder: Path, key: str = "") -> Any:
    """Return the content of a JSON document with placeholders for what differs between runs."""
    if isinstance(value, dict):
        if key in ("packages", "workflow"):  # versions, and hashes of the clone's files
            return sorted(value) if key == "workflow" else "<packages>"
        found = {plain(k, folder): steady(v, folder, k) for k, v in value.items()}
        if "findings" in found:  # of copies of the workflow's files and of records, too
            found["bytes"] = "<number>"
        return found
    if isinstance(value, list):
        items = [steady(item, folder, key) for item in value]
        if key == "alerts":
            items.sort(key=json.dumps)
        return "<jobs>" if key == "slowest" else items
    if isinstance(value, str):
        return "<text>" if TEXT_KEYS.search(key) else plain(value, folder)
    if isinstance(value, int | float) and not isinstance(value, bool) and NUMBER_KEYS.search(key):
        return "<number>"
    return value


# ---------------------------------------------------------------- the shape of records


def shape(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path and kind of each fact of a document; names that are data are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = str(key)
            if path.endswith("packages") or re.search(r"[\d/.]", name):
                name = "*"
            yield from shape(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from shape(item, f"{path}[]")
        if not value:
            yield f"{path}: []"
    else:
        yield f"{path}: {type(value).__name__}"


def record_shapes(folder: Path) -> dict[str, list[str]]:
    """Return the shapes of all records below a folder, by kind of record."""
    found: dict[str, set[str]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".jsonl", ".yaml"}):
        place = re.sub(
            r"(?<=publish-)[0-9a-f]+|\d+",
            "N",
            RUN_ID.sub("RUN", path.relative_to(folder).as_posix()),
        )
        kind = place.split("/")[-1] if "/fov_" not in place else f"fov_N/{path.name}"
        if "/jobs/" in place:
            kind = "jobs/attempt-N.jsonl"
        elif "/logs/" in place:
            kind = "logs/*.json"
        elif "artifacts/" in place or "outputs/" in place:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            for line in text.splitlines():
                event = json.loads(line)
                if event.get("type") == "resources":  # only of jobs that take long
                    continue
                form = f"{kind} {event.get('type', '')}".strip()
                found.setdefault(form, set()).update(shape(event))
        elif path.name == "ro-crate-metadata.json":
            for entity in json.loads(text)["@graph"]:
                form = f"{kind} {entity['@type']}"
                found.setdefault(form, set()).update(shape(entity))
        else:
            content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
            found.setdefault(kind, set()).update(shape(content))
    return {
        kind: sorted({GIT.sub(r"\1", line) for line in lines})
        for kind, lines in sorted(found.items())
    }


def record_names(folder: Path) -> list[str]:
    """Return the names of the files that are no outputs, without numbers and names of jobs."""
    names = set()
    for path in folder.rglob("*"):
        name = RUN_ID.sub("RUN", path.relative_to(folder).as_posix())
        if path.is_file() and not is_output(path.relative_to(folder)):
            names.add(re.sub(r"(?<=publish-)[0-9a-f]+|[0-9a-f]{16,}|\d+", "N", name))
    return sorted(names)


# ---------------------------------------------------------------- files


def is_output(path: Path) -> bool:
    """Tell whether a file below an output folder is an output, and not a record of one."""
    parts = set(path.parts)
    return not parts & {"logs", "runs", "provenance"} and not path.name.startswith(
        (".", "ro-crate-metadata", "report.html")
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_of(folder: Path, chosen: Callable[[Path], bool] = lambda _: True) -> dict[str, str]:
    """Return the SHA-256 of files by their names; links count as what they lead to."""
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    return {
        path.relative_to(folder.parent).as_posix(): digest(path)
        for path in paths
        if path.is_file() and chosen(path.relative_to(folder))
    }


def page(path: Path, folder: Path) -> list[str]:
    """Return the tags of a report, pictures as their hashes."""
    text = re.sub(
        r"data:[^\"')]{100,}",
        lambda found: f"<picture {hashlib.sha256(found[0].encode()).hexdigest()}>",
        path.read_text(encoding="utf-8"),
    )
    return spoken(text.replace("><", ">\n<"), folder)


# ---------------------------------------------------------------- commands


class Workplace:
    """A temporary project folder, and what was found in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.found: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS | INFORMATIONAL}

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True,
            encoding="utf-8", stdin=subprocess.DEVNULL, check=False, timeout=600,
        )  # fmt: skip

    def fovflow(self, line: str) -> subprocess.CompletedProcess[str]:
        return self.call([sys.executable, "-m", "fovflow", *shlex.split(line)])

    def say(self, line: str, *, ordered: bool = True, name: str = "") -> None:
        """Keep what a command prints, and its exit status."""
        done = self.fovflow(line)
        streams = [spoken(stream, self.folder) for stream in (done.stdout, done.stderr)]
        if not ordered:
            streams = [loose(lines) for lines in streams]
        self.found["texts"][name or line] = {
            "status": done.returncode, "stdout": streams[0], "stderr": streams[1]
        }  # fmt: skip

    def both(self, line: str, *, ordered: bool = True, when: str = "") -> None:
        """Keep what a command prints, without and with ``--json``."""
        name = f"{line} {when}".rstrip()
        self.say(line, ordered=ordered, name=name)
        done = self.fovflow(f"{line} --json")
        try:
            content = steady(json.loads(done.stdout), self.folder)
        except json.JSONDecodeError:
            content = spoken(done.stdout, self.folder)
        if not ordered:
            content = sorted((loosen(item) for item in content), key=json.dumps)
        self.found["json"][name] = {"status": done.returncode, "content": content}

    def pipeline(self, name: str, done: subprocess.CompletedProcess[str], what: str = "") -> None:
        """Keep what a run of the pipeline made and said."""
        outdir = self.folder / name
        self.found["texts"][f"run {what or name}"] = {
            "status": done.returncode,
            "lines": loose(spoken(done.stdout + done.stderr, self.folder)),
        }
        self.found["outputs"] |= {
            (f"{what}: " if what else "") + path: sha256
            for path, sha256 in files_of(outdir, is_output).items()
        }
        for path in outdir.rglob("processing_results.yaml"):
            title = f"{what}: {path.relative_to(self.folder)}".removeprefix(": ")
            self.found["outputs"][title] = path.read_text(encoding="utf-8").splitlines()
        if (outdir / "report.html").exists():
            title = f"{what}: {name}/report.html".removeprefix(": ")
            self.found["outputs"][title] = page(outdir / "report.html", self.folder)


def loosen(value: Any) -> Any:
    """Sort what is listed in one text in no certain order."""
    if isinstance(value, dict):
        return {key: loosen(item) for key, item in value.items()}
    head, colon, rest = value.rpartition(": ")
    return head + colon + ", ".join(sorted(rest.split(", ")))


def loose(lines: list[str]) -> list[str]:
    """Return lines that come in no certain order, each once."""
    lines = [re.sub(r"\b(Job|jobid:|Execute) \d+", r"\1 <n>", line) for line in lines]
    lines = [re.sub(r"^\d+ (of \d+ steps)", r"<n> \1", line) for line in lines]
    return sorted({loosen(line) for line in lines if line and not NOT_SAID.search(line)})


# ---------------------------------------------------------------- what is recorded


def without_ids(path: Path) -> None:
    """Replace the random identifiers that the CZI library writes; the images stay."""
    content = path.read_bytes()
    content = content[:48] + bytes(range(16)) * 2 + content[80:]
    path.write_bytes(
        re.sub(UUID.pattern.encode(), b"00000000-0000-0000-0000-000000000000", content)
    )


def make_movies(place: Workplace) -> None:
    """Simulate the raw data, and derive some that the command does not make."""
    folder = place.folder
    for path in CONTAINERS.values():
        place.say(f"simulate {path} {MOVIE}", name=f"simulate {path}")
    without_ids(folder / "raw/movie.czi")
    place.say(f"simulate raw/two {SMALL} --truth truth", name="simulate raw/two")
    place.say(f"simulate raw/faint {SMALL} --bleaching 0.2", name="simulate raw/faint")
    for path in sorted((folder / "raw/faint").glob("*c1.tif")):
        name = path.name.replace("faint_", "two_").replace("c1.tif", "c2.tif")
        shutil.copy(path, folder / "raw/two" / name)
    torn = folder / "raw/torn.ome.zarr"
    shutil.copytree(folder / "raw/movie.ome.zarr", torn)
    chunks = sorted(path for path in (torn / "1").rglob("*") if path.is_file() and not path.suffix)
    chunks[len(chunks) // 2].write_bytes(b"no chunk")
    place.found["outputs"] |= files_of(folder / "raw") | files_of(folder / "truth")


def run_pipelines(place: Workplace) -> None:
    """Run the pipeline with the command, with Snakemake, and once more after a change."""
    folder = place.folder
    place.say("init .")
    place.found["outputs"] |= {
        f"init {name}": sha256
        for part in ("config", "profiles")
        for name, sha256 in files_of(folder / part).items()
    }
    for name, text in CONFIGS.items():
        (folder / "config" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "config/nuclear.tsv").write_text(TABLE, encoding="utf-8")
    (folder / "my_steps.py").write_text(STEPS, encoding="utf-8")
    for name in ("classic", "special"):
        if name == "special":
            place.both("why --configfile config/special.yaml", ordered=False, when="at first")
        place.pipeline(name, place.fovflow(f"run --cores 2 --configfile config/{name}.yaml"))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(CLONE / "Snakefile")]
    options = ["--configfile", "config/defaults.yaml"]
    place.pipeline("defaults", place.call([*snakemake, "--cores", "2", *options]))
    rules = place.call([*snakemake, "--list-rules", *options])
    place.found["texts"]["snakemake --list-rules"] = sorted(rules.stdout.splitlines())

    place.both("why --configfile config/classic.yaml", ordered=False)
    changed = CONFIGS["special"].replace("max_gap: 1", "max_gap: 0").replace(
        "threshold: 5.0", "threshold: 6.0"
    )  # fmt: skip
    changed = changed.replace("special-options", "once-more").replace("seg_labeled]", "seg]", 1)
    (folder / "config/special.yaml").write_text(changed, encoding="utf-8")
    traces = folder / "special/two/fov_000/two_fov_000_traces.csv"
    verdicts = traces.read_text(encoding="utf-8").replace("1,True,", "1,False,")
    traces.with_name("two_fov_000_traces_inspected.csv").write_text(verdicts, encoding="utf-8")
    place.both("why --configfile config/special.yaml", ordered=False)
    again = place.fovflow("run --cores 2 --configfile config/special.yaml")
    place.pipeline("special", again, "special once more")


def ask_commands(place: Workplace) -> None:
    """Keep what the commands say of the results."""
    folder = place.folder
    done = place.call([sys.executable, "-c", SCRIPT])
    place.found["texts"]["script"] = {
        "status": done.returncode,
        "stdout": spoken(done.stdout, folder),
        "stderr": loose([x for x in spoken(done.stderr, folder) if not x.startswith(" ")]),
    }
    place.found["outputs"] |= files_of(folder / "nuclear", is_output)
    for name, text in WRONG_CONFIGS.items():
        (folder / "wrong.yaml").write_text(text, encoding="utf-8")
        place.say("status --configfile wrong.yaml", name=f"status with {name}")
    for path in CONTAINERS.values():
        place.both(f"inspect {path}")
    place.say("inspect raw/movie.nd2 --estimate")
    place.both("inspect raw/absent.nd2")
    for outdir in ("classic", "special", "script"):
        place.both(f"runs list {outdir}")
        place.both(f"status {outdir}")
        place.both(f"verify {outdir}")
        place.say(f"watch {outdir} --once")
        place.both(f"runs show {outdir}")
        place.both(f"restore {outdir}")
    place.both("runs compare classic defaults")
    place.both("runs compare special-options once-more --outdir special")
    place.both("runs lineage special/two/fov_000/two_fov_000_traces.csv")
    place.both("runs lineage defaults/nd2/fov_001/nd2_fov_001_bright.csv")
    place.say("runs export special/two --to prov.json")
    place.both("runs show no-such-run --outdir special")
    place.both("publish special published")
    place.both("publish special published", when="once more")
    place.both("verify published")
    place.both("checksums raw --write --configfile config/special.yaml")
    place.both("checksums raw --write --configfile config/classic.yaml")
    place.both("checksums raw --configfile config/classic.yaml")
    place.both("checksums outputs classic/czi --write --list outputs.csv")
    (folder / "classic/czi/fov_000/czi_fov_000_tracks.csv").unlink()
    (folder / "classic/nd2/fov_000/nd2_fov_000_traces.csv").write_text("no table\n")
    place.both("checksums outputs classic/czi --list outputs.csv")
    place.both("verify classic", when="after changes")
    place.both("why --configfile config/classic.yaml", ordered=False, when="after changes")
    place.say("overlay defaults/nd2 --fovs 0-1 --frames 0,3 --out overlays")
    place.say("report defaults/nd2 --out nd2.html")
    place.say("init paper --paper --raw raw/movie.nd2 raw/movie.ome.tif")
    place.found["outputs"] |= files_of(folder / "overlays") | files_of(folder / "paper")
    place.found["outputs"]["nd2.html"] = page(folder / "nd2.html", folder)
    place.found["outputs"]["outputs.csv"] = (folder / "outputs.csv").read_text().splitlines()
    place.found["records"]["prov.json"] = sorted(set(shape(json.loads(
        (folder / "prov.json").read_text(encoding="utf-8")
    ))))  # fmt: skip


def ask_help(place: Workplace) -> None:
    """Keep the help of all commands and their parts, as the help itself lists them."""
    for start in (["--help"], ["--version"], [], ["no-such-command"]):
        place.say(shlex.join(start), name=f"fovflow {shlex.join(start)}")

    def listed(command: str) -> None:
        done = place.fovflow(f"{command} --help")
        place.found["helps"][f"fovflow {command}".rstrip()] = done.stdout.splitlines()
        if not command:
            parts = done.stdout.partition("commands:\n")[2].partition("\n\n")[0]
        else:
            parts = done.stdout.partition("  SUBCOMMAND\n")[2].partition("\n\n")[0]
        for name in re.findall(r"^ +([a-z]+) {2,}\S", parts, re.MULTILINE):
            listed(f"{command} {name}".strip())

    listed("")


def read_documents(place: Workplace) -> None:
    """Keep the configuration's documents, and each message of the page on trouble."""
    for name in ("config.yaml", "config.schema.json", "README.md", "datasets.tsv"):
        path = CLONE / "config" / name
        place.found["documents"][f"config/{name}"] = path.read_text(encoding="utf-8").splitlines()
    for path in sorted((CLONE / "profiles").rglob("*.yaml")):
        name = path.relative_to(CLONE).as_posix()
        place.found["documents"][name] = path.read_text(encoding="utf-8").splitlines()
    trouble = (CLONE / "docs/troubleshooting.md").read_text(encoding="utf-8")
    place.found["documents"]["docs/troubleshooting.md"] = [
        line for line in trouble.splitlines() if line.startswith(("#", "| `"))
    ]


def read_api(place: Workplace) -> None:
    """Keep the signatures of ``fovflow.__all__``, and of what docs/python.md documents."""
    fovflow = importlib.import_module("fovflow")
    names = {name: f"fovflow.{name}" for name in fovflow.__all__}
    text = (CLONE / "docs/python.md").read_text(encoding="utf-8")
    for name in re.findall(r"\.\. auto\w+:: ([\w.]+)", text):
        full = name if name.startswith("fovflow.") else f"fovflow.{name}"
        names.setdefault(name.rpartition(".")[2], full)
    place.found["api"]["__all__"] = sorted(fovflow.__all__)
    for short, name in sorted(names.items()):
        module, _, attribute = name.rpartition(".")
        found = getattr(importlib.import_module(module), attribute)
        place.found["api"][short] = described(found)


def described(found: Any) -> Any:
    """Return the signature of a function, and those of a class and its public members."""
    if not callable(found):
        return repr(found)
    if not inspect.isclass(found):
        return signature(found)
    members = {}
    for cls in reversed(found.__mro__):
        if cls.__module__.partition(".")[0] == "fovflow":
            for name, value in vars(cls).items():
                if name == "__call__" or not name.startswith("_"):
                    members[name] = member(value)
    return {"signature": signature(found), "members": dict(sorted(members.items()))}


def member(value: Any) -> str:
    if isinstance(value, property | functools.cached_property):
        return "property"
    value = getattr(value, "__func__", value)
    return signature(value) if callable(value) else type(value).__name__


def signature(found: Any) -> str:
    try:
        text = str(inspect.signature(found))
    except (ValueError, TypeError):
        return "callable"
    return re.sub(r" at 0x[0-9a-f]+|\bfovflow\.([\w]+\.)*", "", text)


def run_arrays(place: Workplace) -> None:
    """Hash what the functions on arrays return, for each method."""
    import numpy as np

    import fovflow

    kept = place.found["arrays"]

    def keep(name: str, array: Any) -> Any:
        array = np.ascontiguousarray(array)
        sha256 = hashlib.sha256(array.tobytes()).hexdigest()
        kept[name] = f"{array.dtype} {array.shape} {sha256}"
        return array

    for kind, path in CONTAINERS.items():
        with fovflow.open_raw(place.folder / path) as raw:
            planes = [
                raw.read(p, t, c)
                for p in range(len(raw.info.positions))
                for t in range(raw.info.n_frames)
                for c in range(len(raw.info.channels))
            ]
            keep(f"open_raw {kind}", np.stack(planes))
            kept[f"open_raw {kind} info"] = plain(repr(raw.info), place.folder)
            kept[f"open_raw {kind} times"] = repr([raw.times(p) for p in range(2)])
    phase, light = (np.stack([planes[8 + 2 * t + c] for t in range(4)]) for c in range(2))
    masks = {}
    for method, options in (
        ("classic", {}),
        ("logstd", {"pixel_um": 0.65}),
        ("logstd", {"pixel_um": 0.65, "split": False, "memory": 1}),
        ("threshold", {"pixel_um": 0.65, "rule": "li"}),
    ):
        name = f"segment_stack {method} {options}"
        stack = light if method == "threshold" else phase
        masks[method] = keep(name, fovflow.segment_stack(stack, method=method, **options))
    for method in ("tiles", "classic", "constant", "none"):
        result = fovflow.correct_stack(light, masks["logstd"], method=method, dark=90.0)
        corrected = keep(f"correct_stack {method}", result)
    for method, options in (("classic", {}), ("iou", {}), ("iou", {"drift": False, "max_gap": 0})):
        labels, links = fovflow.track_stack(
            masks["logstd"], method=method, pixel_um=0.65, **options
        )
        keep(f"track_stack {method} {options}", labels)
        for column, values in links.items():
            keep(f"track_stack {method} {options} {column}", values)
    table = fovflow.extract_traces(labels, phase, {1: light}, {1: corrected}, erosion_px=1)
    kept["extract_traces"] = hashlib.sha256(table.to_csv().encode()).hexdigest()
    kept["extract_traces columns"] = list(table.columns)


def record(out: Path) -> None:
    """Record the state of the clone into a file."""
    start = time.perf_counter()
    parts = (make_movies, run_pipelines, ask_commands, ask_help, read_documents, read_api,
             run_arrays)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="freeze-") as folder:
        place = Workplace(Path(folder).resolve())
        for part in parts:
            part(place)
            print(f"{part.__name__}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        for name in (*CONFIGS, "script"):
            place.found["records"][f"{name}: files"] = record_names(place.folder / name)
            for kind, lines in record_shapes(place.folder / name).items():
                place.found["records"][f"{name}: {kind}"] = lines
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CLONE, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    about = {"commit": commit.stdout.strip(), "seconds": round(time.perf_counter() - start)}
    text = json.dumps({"about": about, **place.found}, indent=1, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")


# ---------------------------------------------------------------- comparison


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield each difference of two recordings, with its place."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            place = f"{path} → {key}" if path else key
            if key not in after:
                yield f"{place}: gone"
            elif key not in before:
                yield f"{place}: new: {shortened(after[key])}"
            else:
                yield from differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        as_lines = [
            [x if isinstance(x, str) else json.dumps(x, ensure_ascii=False) for x in items]
            for items in (before, after)
        ]
        lines = list(difflib.unified_diff(*as_lines, n=0, lineterm=""))[2:]
        yield path + "".join(f"\n    {shortened(line)}" for line in lines)
    else:
        yield f"{path}:\n    -{shortened(before)}\n    +{shortened(after)}"


def shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return textwrap.shorten(text, 600) if len(text) > 600 else text


def compare(before: Path, after: Path) -> int:
    """Print all differences; return 1 if there are any outside of the records."""
    states = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
    print("before: {commit}, {seconds} s".format(**states[0]["about"]))
    print("after:  {commit}, {seconds} s".format(**states[1]["about"]))
    different = 0
    for section, words in (SECTIONS | INFORMATIONAL).items():
        found = list(differences(states[0][section], states[1][section]))
        informational = "; for information only" if section in INFORMATIONAL else ""
        size = len(states[0][section])
        print(f"\n{section} ({words}{informational}): {size} kept, {len(found)} differ")
        for line in found:
            print(f"  {line}")
        different += len(found) if section in SECTIONS else 0
    print(f"\n{different} differences" if different else "\nno differences")
    return 1 if different else 0


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("record", help="record the present state of the code")
    part.add_argument("out", type=Path, metavar="OUT.json")
    part = parts.add_parser("compare", help="name what differs; exit status 1 if anything does")
    part.add_argument("before", type=Path, metavar="BEFORE.json")
    part.add_argument("after", type=Path, metavar="AFTER.json")
    given = parser.parse_args()
    if given.part == "compare":
        return compare(given.before, given.after)
    record(given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
