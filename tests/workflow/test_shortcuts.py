"""What the engine does once and not for every job, and what a job is given in its stead."""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards

from fovflow.adapter.given import Given, source_of_given
from stand_in import run_snakemake, widen_plan, write_project

OPTIONS = {"a": [1, (2.5, None)], "names": {0: "phase", 1: "größe\n"}, "far": math.inf}


def of_engine(**params):
    return SimpleNamespace(
        input=InputFiles(fromdict={"times": "t.csv", "fl": ["a.npy", "b.npy"]}),
        output=OutputFiles(["x", "y"]),
        params=Params(fromdict=params or {"step": "copy", "options": OPTIONS}),
        wildcards=Wildcards(fromdict={"dataset": "p 1", "fov": "003"}),
        log=Log(["logs/copy.log"]),
        threads=2,
        config={"run": {"name": "it's"}},
    )


def test_a_job_is_given_what_the_engine_holds(tmp_path):
    engine, script = of_engine(), tmp_path / "script.py"
    script.write_text(f"given = {source_of_given('copy_1', engine)}", encoding="utf-8")
    given = runpy.run_path(str(script), {"Given": Given, "inf": math.inf})["given"]
    for name in ("input", "output", "params", "wildcards", "log"):
        theirs, ours = getattr(engine, name), getattr(given, name)
        assert [*map(str, ours)] == [*map(str, theirs)]
        assert {**ours} == dict(theirs.items())
        for key, value in theirs.items():
            assert getattr(ours, key) == ours[key] == ours.get(key) == value
    assert given.params.options == OPTIONS
    assert [given.output[0], given.input.get("dark"), given.rule] == ["x", None, "copy_1"]
    assert (given.threads, given.config) == (2, engine.config)
    assert not hasattr(given.input, "dark")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_has_no_literal_form_is_left_to_the_engine(value):
    with pytest.raises(TypeError, match="no literal form"):
        source_of_given("copy", of_engine(options=value))


def test_a_job_imports_nothing_of_the_engine():
    script = (
        "import sys, json; import fovflow.adapter.job, fovflow.processing;"
        "print(json.dumps([name for name in sys.modules if name.startswith('snakemake')]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.workflow
@pytest.mark.parametrize("option", ["--set-resources", "--default-resources"])
def test_what_a_user_says_of_each_field_of_view_is_asked_for_each(tmp_path, option):
    """What jobs need is remembered for a rule, unless a user's words tell the fields apart."""
    write_project(tmp_path)
    widen_plan(tmp_path, 3)
    rule = "segment:" if option == "--set-resources" else ""
    wish = f"{rule}slots=open('asked', 'a').write(wildcards.get('fov', '') + chr(10))"
    run_snakemake(tmp_path, "--dry-run", "--forceall", option, wish)
    asked = (tmp_path / "asked").read_text().split()
    assert {*asked} == {"000", "001", "002"}
    assert len(asked) >= (3 if rule else 3 * 6)  # for jobs of one rule, or of all
