"""Run everything and record what it makes and says."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from facts import (
    NOT_SAID,
    UUID,
    files_of,
    is_output,
    page,
    plain,
    record_names,
    record_shapes,
    shape,
    spoken,
    steady,
)
from projects import (
    CLONE,
    CONFIGS,
    CONTAINERS,
    ENVIRONMENT,
    INFORMATIONAL,
    MOVIE,
    SCRIPT,
    SECTIONS,
    SMALL,
    STEPS,
    TABLE,
    WRONG_CONFIGS,
)


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
