"""The fovflow command, in one process where that is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml

from fovflow.cli import COMMANDS, main
from fovflow.cli.project import Channels, dataset_name
from fovflow.cli.run import format_jobs, in_words, read_dry_run
from fovflow.config import load_config, parse_config
from fovflow.errors import FovflowError
from fovflow.planning.choice import choose
from fovflow.readers.base import Channel, Position, RawInfo
from fovflow.segmentation.frames import FrameStats
from fovflow.simulation import MovieParams, load_truth, simulate, write_movie
from paths import ROOT, shared_data


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "a plate (1) µ.nd2"
    params = MovieParams(positions=2, frames=2, height=64, width=64, cells=1)
    write_movie(simulate(params), path)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"fovflow {command}" in text
    assert "example:" in text


def test_without_a_command_the_commands_are_listed(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"  {command} " in listed for command in COMMANDS)
    with pytest.raises(SystemExit) as ended:
        main(["rnu"])
    assert ended.value.code == 2
    assert "invalid choice: 'rnu'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("redirection", "status", "told"),
    [(">&-", 0, ""), (">/dev/full", 1, "fovflow: No space left on device\n")],
)
def test_a_stream_that_is_closed_or_full_ends_in_no_traceback(redirection, status, told):
    words = f"{sys.executable} -m fovflow export list {redirection}"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("rnu", "(did you mean run?)"),
        ("runs lst", "(did you mean list?)"),
        ("status --jsn", "unrecognized arguments: --jsn (did you mean --json?)"),
        ("checksums rwa", "(did you mean raw?)"),
        ("demo d --cores x", "argument --cores: 'x' is no whole number from 1 on, nor all"),
        ("repair --cores 0", "argument --cores: '0' is no whole number from 1 on, nor all"),
    ],
)
def test_slips_of_command_lines_are_told_with_what_was_meant(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("key", ["name", "path", "outdir", "sample"])
def test_names_that_the_locale_cannot_spell(movie, tmp_path, key):
    words = {"name": "m", "path": "m.nd2", "outdir": "o", "sample": "s"} | {key: "ä"}
    config = {
        "datasets": {words["name"]: {"path": words["path"]}},
        "channels": {"pc": 0},
        "outdir": words["outdir"],
        "samples": [{"name": words["sample"], "fovs": 0}],
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def told(*arguments):
        words = [sys.executable, "-m", "fovflow", *map(str, arguments)]
        env = os.environ | plain
        return subprocess.run(words, check=False, env=env, cwd=tmp_path, capture_output=True)

    done = told("run", "-n", "--configfile", "c.yaml")
    assert done.returncode == 2
    assert rb"no file can be named '\xe4' here; found: file names in ascii" in done.stderr
    if key == "name":
        assert rb"\xb5m" in told("inspect", movie).stdout
        assert "positions" in json.loads(told("inspect", "--json", movie).stdout)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, fovflow; "
        "heavy = {'numpy', 'pandas', 'cv2', 'scipy', 'snakemake', 'pydantic'} & set(sys.modules); "
        "print(sorted(heavy)); assert fovflow.load_results and 'load_results' in dir(fovflow)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_inspect_tells_what_the_file_holds(movie, capsys):
    assert main(["inspect", str(movie)]) == 0
    text = capsys.readouterr().out
    assert "2 positions, 2 frames, 2 channels" in text
    assert "GFP" in text
    assert main(["inspect", str(movie), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["format"] == "nd2"


def test_errors_are_one_sentence_on_the_error_stream(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "absent.nd2")]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("fovflow: ")
    assert "absent.nd2" in streams.err


def test_init_lays_out_a_project_that_loads(movie, tmp_path, capsys):
    folder = tmp_path / "my project"
    assert main(["init", str(folder), "--raw", str(movie), str(movie)]) == 0
    config = load_config(folder / "config" / "config.yaml")
    assert list(config.datasets) == ["a_plate_1_µ", "a_plate_1_µ_2"]
    assert config.datasets["a_plate_1_µ"].path == str(movie)
    assert (folder / "profiles" / "default" / "config.yaml").exists()
    assert "fovflow run" in capsys.readouterr().out
    assert main(["init", str(folder)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_init_writes_what_the_file_says_and_a_snakefile(movie, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw" / "p 1.nd2"
    raw.parent.mkdir()
    raw.write_bytes(movie.read_bytes())
    assert main(["init", "p", "--raw", "raw/p 1.nd2"]) == 0
    text = Path("p/config/config.yaml").read_text()
    content = yaml.safe_load(text)
    assert content["datasets"] == {"p_1": {"path": "../raw/p 1.nd2"}}
    assert content["channels"] == {"pc": "Phase", "fl": ["GFP"]}
    assert content["segment"] == {"method": "logstd"}
    assert "# or classic" in text
    assert len(text.splitlines()) < 30
    assert "include:" in Path("p/Snakefile").read_text()
    monkeypatch.chdir("p")
    assert load_config("config/config.yaml").channels.pc == "Phase"


def series(folder, names):
    folder.mkdir(parents=True)
    for name in names:
        tifffile.imwrite(folder / name, np.ones((8, 9), np.uint16))
    return [str(folder / name) for name in names]


def test_init_takes_files_that_are_one_series_for_one_dataset(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = series(tmp_path / "raw", [f"cells_t{t:02d}.tif" for t in range(5)])
    assert main(["init", "p", "--raw", *files]) == 0
    text = Path("p/config/config.yaml").read_text()
    (entry,) = yaml.safe_load(text)["datasets"].values()
    assert entry["path"].endswith("*.tif")
    assert (entry["pixel_um"], entry["interval_s"]) == ("FILL_IN", "FILL_IN")
    assert "pc: FILL_IN" in text
    assert "FILL_IN (3)" in capsys.readouterr().out


def test_init_refuses_raw_files_that_are_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "p", "--raw", "raw/nowhere.nd2"]) == 1
    assert "nowhere.nd2" in capsys.readouterr().err
    assert not Path("p").exists()


def test_init_lays_out_no_project_where_raw_data_lie(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.zarr").mkdir()
    Path("a.zarr/.zattrs").write_text("{}")
    Path("my movie.nd2").write_bytes(b"")
    for raw, quoted in (("a.zarr", "a.zarr"), ("my movie.nd2", "'my movie.nd2'")):
        assert main(["init", raw]) == 1
        assert f"if it is the raw data: fovflow init --raw {quoted}" in capsys.readouterr().err
    assert [each.name for each in Path("a.zarr").iterdir()] == [".zattrs"]


@pytest.mark.parametrize(
    ("names", "phase"),
    [
        (["Phase", "GFP"], "Phase"),
        (["BF", "DAPI"], "BF"),
        (["GFP", "Trans", "RFP"], "Trans"),
        (["Phase", "BF"], None),
        (["488", "561"], None),
        (["", ""], None),
        (["GFP"], None),
        (["TL", "pH"], None),
        (["Ph2", "S-phase", "G1 phase"], "Ph2"),
        (["cells phase", "GFP"], "cells phase"),
    ],
)
def test_init_names_the_phase_channel_where_it_is_beyond_doubt(names, phase):
    info = RawInfo(
        *("fake", "CYX", 1, 1, 8, 9, "uint16"),
        positions=(Position(0),),
        channels=tuple(Channel(i, name) for i, name in enumerate(names)),
    )
    chosen = Channels.of(info)
    assert chosen.phase == phase
    text = "\n".join(chosen.lines())
    assert ("FILL_IN" in text) is (phase is None)
    if phase is None:
        assert all(str(name) in text for name in chosen.names)


def test_init_asks_for_the_phase_channel_of_a_later_file_with_other_channels(tmp_path, capsys):
    files = []
    for name, channels in {"a": ["Phase", "GFP"], "b": ["TL", "RFP"], "c": ["BF", "RFP"]}.items():
        files.append(str(tmp_path / f"{name}.ome.tif"))
        sizes = {"axes": "TCYX", "PhysicalSizeX": 0.65, "TimeIncrement": 300}
        about = {"metadata": sizes | {"Channel": {"Name": channels}}, "photometric": "minisblack"}
        tifffile.imwrite(files[-1], np.ones((3, 2, 8, 9), np.uint16), **about)
    assert main(["init", str(tmp_path / "p"), "--raw", *files]) == 0
    text = (tmp_path / "p" / "config" / "config.yaml").read_text()
    datasets = yaml.safe_load(text)["datasets"]
    assert [entry.get("channels") for entry in datasets.values()] == [
        None,
        {"pc": "FILL_IN", "fl": "all"},
        {"pc": "BF", "fl": ["RFP"]},
    ]
    assert 'pc is one of "TL", "RFP"' in text
    assert "FILL_IN (1)" in capsys.readouterr().out


def method_chosen(folder, *files):
    """Lay out a project; return the method of segmentation in its configuration, and that line."""
    assert main(["init", str(folder), "--raw", *map(str, files)]) == 0
    text = (folder / "config" / "config.yaml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("segment: "))
    return yaml.safe_load(text)["segment"]["method"], line


def test_init_takes_the_network_for_real_cells(tmp_path, capsys):
    frames = sorted((shared_data("t98g") / "phase").glob("*.tif"))
    method, line = method_chosen(tmp_path / "t98g", *frames)
    assert method == "unet"
    assert "tried on 3 frames" in line
    assert "3 flagged (bright halos)" in line
    method, line = method_chosen(tmp_path / "incucyte", shared_data("nd2/incucyte_2fov_pgr.nd2"))
    assert method == "unet"
    assert "3 flagged (spread cells)" in line
    assert "segment with method unet: tried on 3 frames" in capsys.readouterr().out


def test_init_keeps_logstd_where_the_network_knows_no_such_cells(movie, tmp_path):
    method, line = method_chosen(tmp_path / "p", movie)
    assert method == "logstd"
    assert "none flagged; unet" in line


def frames_of_any_kind():
    grain = np.random.default_rng(3).normal(900, 40, (2, 96, 96))
    blocks = [cv2.imdecode(cv2.imencode(".jpg", f / 8, [1, 30])[1], 0) for f in grain]
    return {
        "tiny": grain[:, :8, :8].astype(np.uint16),
        "row": grain[:, :1].astype(np.uint16),
        "constant": np.full((2, 96, 96), 7, np.uint8),
        "saturated": np.full((2, 96, 96), 65535, np.uint16) - (grain > 1000).astype(np.uint16),
        "compressed": np.stack(blocks),
        "not finite": np.full((2, 96, 96), np.nan, np.float32),
        "noise": grain.astype(np.float32),
    }


@pytest.mark.parametrize("kind", frames_of_any_kind())
def test_init_lays_out_a_project_whatever_the_frames_show(kind, tmp_path):
    file = tmp_path / "frames.ome.tif"
    frames = frames_of_any_kind()[kind]
    sizes = {"axes": "TYX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
    tifffile.imwrite(file, frames, metadata=sizes, photometric="minisblack")
    assert method_chosen(tmp_path / "p", file)[0] == "logstd"


@pytest.mark.parametrize("fault", ["truncated", "too large", "no frame", "garbage"])
def test_init_lays_out_a_project_where_no_frame_can_be_read(fault, movie, tmp_path, monkeypatch):
    def fails(*_):
        raise FovflowError("frame 3 is gone") if fault == "no frame" else ValueError("a\nb\x1b")

    if fault == "truncated":
        data = movie.read_bytes()
        movie = tmp_path / "cut.ome.tif"
        frames = np.random.default_rng(1).integers(0, 99, (3, 64, 64)).astype(np.uint16)
        sizes = {"axes": "TYX", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
        tifffile.imwrite(movie, frames, metadata=sizes, compression="zlib")
        data = movie.read_bytes()
        movie.write_bytes(data[:9000] + bytes(3000) + data[12000:])
    elif fault == "too large":
        monkeypatch.setattr("fovflow.planning.choice.MOST_PIXELS", 100)
    else:
        monkeypatch.setattr("fovflow.copying.read_plane", fails)
    method, line = method_chosen(tmp_path / "p", movie)
    assert method == "logstd"
    assert "not tried on frames, since" in line


@pytest.mark.parametrize(
    ("logstd", "unet", "method", "suits"),
    [
        ([(9, "")], [(9, "")], "unet", True),
        ([(9, "")], [(9, "unfamiliar")], "logstd", True),
        ([(9, "bright halos")], [(9, "")], "unet", True),
        ([(9, "faint")], [(9, "unfamiliar")], "logstd", False),
        ([(9, "coarse levels")], [(9, "coarse levels; unfamiliar")], "logstd", True),
        ([(9, "compressed; faint")], [(9, "compressed")], "unet", True),
        ([(9, "")], [(0, "")], "logstd", True),
        ([(0, "")], [(0, "nothing recognised")], "logstd", False),
        ([(9, "")] * 3, [(9, ""), (9, ""), (9, "unfamiliar")], "logstd", True),
        ([(9, "faint")] * 2 + [(9, "")], [(9, ""), (9, ""), (9, "unfamiliar")], "unet", True),
        ([(9, "threshold reset; nan")], [(9, "nan")], "unet", True),
    ],
)
def test_the_method_with_fewer_flags_of_its_own_is_chosen(logstd, unet, method, suits):
    stats = {
        name: [FrameStats(n_objects=n, flag=flag) for n, flag in found]
        for name, found in (("logstd", logstd), ("unet", unet))
    }
    choice = choose(stats)
    assert (choice.method, choice.suits) == (method, suits)


def test_where_both_methods_suit_the_reason_says_which_is_better_on_real_frames():
    choice = choose({name: [FrameStats(n_objects=9)] for name in ("logstd", "unet")})
    assert choice.reason.endswith("on real frames unet is the better one")


def test_init_without_raw_files_keeps_the_template(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    template = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    assert Path("config/config.yaml").read_text(encoding="utf-8") == template


def test_simulate_writes_movie_and_truth(tmp_path, capsys):
    size = ["--height", "64", "--width", "64"]
    options = ["--positions", "1", "--frames", "2", "--cells", "2", *size]
    file, truth = tmp_path / "m.ome.tif", tmp_path / "truth"
    assert main(["simulate", str(file), "--truth", str(truth), *options]) == 0
    assert file.exists()
    assert any(truth.iterdir())
    assert str(file) in capsys.readouterr().out


def test_simulate_tells_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fovflow.progress.LINE_EVERY_S", 0.0)
    options = ["--positions", "2", "--frames", "2", "--height", "64", "--width", "64"]
    movie, truth = str(tmp_path / "movie.nd2"), str(tmp_path / "truth")
    assert main(["simulate", movie, "--cells", "1", "--truth", truth, *options]) == 0
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    counted = [f"{i} of 4 frames" for i in (1, 2, 3, 4)]
    assert lines == [f"movie: {count}" for count in counted]
    assert load_truth(truth).params.frames == 2, "it is there when the command ends"


def test_simulate_refuses_a_format_before_anything_is_written(tmp_path, capsys):
    place = tmp_path / "movie.foo"
    assert main(["simulate", str(place), "--truth", str(tmp_path / "truth")]) == 2
    assert "no format for the name 'movie.foo'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_status_of_nothing_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    assert "results holds no results" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "report"])
def test_a_configuration_that_is_named_has_to_be_there(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "a" / "fov_000").mkdir(parents=True)
    assert main([command, "--configfile", "typo.yaml"]) == 2
    assert "there is no config file typo.yaml" in capsys.readouterr().err


def test_a_wrong_configuration_has_exit_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/config.yaml").write_text("datasets: {a: {path: x}}\nfvos: 1\n")
    assert main(["status"]) == 2
    assert "fvos: unknown key; did you mean fovs?" in capsys.readouterr().err


DRY_RUN = """
Job 3: plate1, FOV 000: correct channel 1
Reason: Params have changed since last execution: before: 1 now: 2
[Sat]
Job 5: plate1, FOV 000: extract traces
Reason: Input files updated by another job: results/x.npy
rule other:
    input: a
    reason: Missing output files: r/a.npy, r/b.npy, r/c.npy, r/d.npy; Updated input files: r/z.npy
"""


def test_reasons_are_told_in_plain_words():
    jobs = read_dry_run(DRY_RUN.splitlines())
    assert jobs == [
        ("plate1, FOV 000: correct channel 1", "its parameters changed"),
        ("plate1, FOV 000: extract traces", "an earlier step runs again"),
        (
            "other",
            "missing: a.npy, b.npy, c.npy and 1 more; newer than what was made from it: z.npy",
        ),
    ]
    assert format_jobs(jobs).splitlines()[-2:] == [
        "and, because an earlier step runs again:",
        "  plate1, FOV 0: extract traces",
    ]
    many = [(f"plate1, FOV {fov:03d}: track", "its parameters changed") for fov in (0, 1, 2, 5)]
    assert format_jobs(many) == "plate1, FOVs 0-2, 5: track: its parameters changed"
    assert format_jobs([]) == "Nothing to be done: everything is complete and up to date."
    assert in_words("Something new") == "Something new"


def test_inspect_estimates_what_a_whole_run_needs(movie, capsys):
    assert main(["inspect", str(movie), "--json", "--estimate"]) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    fovs = found["steps"]["copy"]["jobs"]
    assert found["jobs"] == 7 * fovs + 2
    assert found["files"] == 46 * fovs
    assert found["steps"]["segment"]["memory_mb"] >= 220
    assert main(["inspect", str(movie), "--estimate"]) == 0
    assert f"about {46 * fovs} files" in capsys.readouterr().out


@pytest.mark.parametrize(
    "file",
    [
        "-dash.nd2",
        "logs.nd2",
        "Runs.tif",
        "NUL.nd2",
        "con.ome.tif",
        "a{b}.nd2",
        "...nd2",
        " .nd2",
        "e\u0301.nd2",
        "x" * 240 + ".nd2",
        "ж" * 120 + ".nd2",
        "a\nb.nd2",
        "\x1b[2J.nd2",
        "+.nd2",
        "1.tif",
        "plate.ome.tif",
        "細胞.czi",
        "a*.tif",
    ],
)
def test_init_makes_names_that_are_taken(file):
    names: list[str] = []
    for _ in range(3):
        names.append(dataset_name(file, names))
    assert list(parse_config({"datasets": {name: {"path": file} for name in names}}).datasets)
    assert names[1] == f"{names[0]}_2"


def test_init_keeps_good_names():
    assert dataset_name("raw/plate-1.nd2") == "plate-1"
    assert dataset_name("a.ome.tif", ["A"]) == "a_2"


def test_a_file_behind_config_is_told_the_option_that_takes_it(capsys):
    for words in (["--config", "other.yaml"], ["-n", "-C", "outdir=x", "--config", "other.yaml"]):
        assert main(["run", *words]) == 2
        assert "--configfile other.yaml" in capsys.readouterr().err


def test_a_series_that_is_not_clear_is_asked_about_when_a_project_is_made(tmp_path, capsys):
    import tifffile

    names = [str(tmp_path / f"A01f{field}d0.tif") for field in range(3)]
    for name in names:
        tifffile.imwrite(name, np.ones((8, 9), np.uint16))
    assert main(["init", str(tmp_path / "p"), "--raw", *names]) == 1
    assert "--pattern" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    pattern = "{well}f{field}d0.tif"
    assert main(["init", str(tmp_path / "p"), "--raw", *names, "--pattern", pattern]) == 0
    config = yaml.safe_load((tmp_path / "p/config/config.yaml").read_text())
    (dataset,) = config["datasets"].values()
    assert dataset["pattern"] == pattern
    assert dataset["path"].endswith("*.tif")


@pytest.mark.parametrize("command", [["why"], ["run", "-n"], ["run", "--cores", "2"]])
def test_a_folder_without_a_configuration_is_told_in_one_sentence(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"no config/config.yaml in {tmp_path}" in told
    assert "fovflow init" in told
    assert list(tmp_path.iterdir()) == []


def test_why_says_what_is_wrong_with_the_configuration(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("datasets: {a: {path: x.nd2}}\nkeeep: all\n")
    assert main(["why"]) == 2
    told = capfd.readouterr().err
    assert "keeep" in told
    assert "Using workflow" not in told


@pytest.mark.parametrize("command", [["why"], ["run", "-n"], ["run", "--estimate"], ["run"]])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"segment:\n\tmethod: logstd\n", "other.yaml cannot be read; found: while scanning"),
        ("# Müller".encode("latin-1"), "byte 0xfc in line 2"),
        (b"fvos: 1\n", "fvos: unknown key; did you mean fovs?"),
    ],
)
def test_a_wrong_configuration_is_told_in_our_words_before_snakemake_starts(
    command, text, said, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "other.yaml"
    file.write_bytes(b"datasets: {a: {path: x.nd2}}\n" + text)
    for words in ([*command, "--configfile", str(file)], [*command, f"--configfile={file}"]):
        assert main(words) == 2
        told = capfd.readouterr().err
        assert said in told
        assert told.startswith("fovflow: the config")
        assert not {"Traceback", "WorkflowError", "File "} & {*told.replace(",", " ").split(" ")}
    assert list(tmp_path.iterdir()) == [file]
