"""User steps without Snakemake: their configuration, and one call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fovflow.atomic import atomic_files, sha256_or_none
from fovflow.config import parse_config
from fovflow.config.usersteps import StepConfig
from fovflow.errors import ConfigError, FovflowError
from fovflow.results import FovResult
from fovflow.usersteps import run_step, step_fov

STEP = {"name": "nuclei", "script": "s.py", "function": "find", "outputs": ["nuclei.csv"]}
FOV = FovResult(index=3, status="unknown", dataset="plate")


def parse(*steps: dict) -> tuple[StepConfig, ...]:
    return parse_config({"datasets": {"plate": {"path": "a.nd2"}}, "steps": list(steps)}).steps


def test_defaults_and_arguments_of_single_fovs():
    (step,) = parse(
        {
            **STEP,
            "args": {"a": 1, "b": 1, "c": 1},
            "fov_args": {3: {"b": 2, "c": 2}, "plate/fov_003": {"c": 3}, "4": {"a": 4}},
        }
    )
    assert step.inputs == ("traces",)
    assert step.arguments("plate", 3) == {"a": 1, "b": 2, "c": 3}
    assert step.arguments("other", 3) == {"a": 1, "b": 2, "c": 2}
    assert step.arguments("plate", 4) == {"a": 4, "b": 1, "c": 1}
    assert step.arguments("plate", 5) == {"a": 1, "b": 1, "c": 1}
    assert parse() == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "segment_ch_0"}, r"steps\.0\.name: 'segment_ch_0' .* another name than those"),
        ({"name": "merge_everything"}, "another name than those that fovflow"),
        ({"name": "segment"}, r"steps\.0\.name: 'segment' .* another name than those that fovflow"),
        ({"name": "copy_1"}, r"steps\.0\.name: .* another name"),
        ({"name": "Nuclei"}, r"steps\.0\.name: 'Nuclei' .* lower-case letters"),
        ({"name": "a/b"}, r"steps\.0\.name"),
        ({"function": "a b"}, r"steps\.0\.function: 'a b' .* the name of a function"),
        ({"outputs": []}, r"steps\.0\.outputs"),
        ({"outputs": ["../x.csv"]}, r"steps\.0\.outputs: .* file names of letters"),
        ({"outputs": ["a/b.csv"]}, r"steps\.0\.outputs: .* file names of letters"),
        ({"outputs": ["{fov}.csv"]}, r"steps\.0\.outputs: .* file names of letters"),
        ({"outputs": [".hidden"]}, r"steps\.0\.outputs: .* file names of letters"),
        ({"outputs": ["Traces.csv"]}, r"steps\.0\.outputs: .* other names than 'Traces.csv'"),
        ({"outputs": ["traces_inspected.csv"]}, r"steps\.0\.outputs: .* other names"),
        ({"outputs": ["seg_ch_0.npy"]}, r"steps\.0\.outputs: .* other names than 'seg_ch_0.npy'"),
        ({"outputs": ["seg_ch_0_frames.csv"]}, r"steps\.0\.outputs: .* other names"),
        ({"outputs": ["a.csv", "A.csv"]}, r"steps: .* A\.csv once \(in nuclei and nuclei\)"),
        ({"inputs": ["masks"]}, r"steps: .* as inputs of nuclei: traces, .* \(not 'masks'"),
        ({"inputs": ["nuclei"]}, r"steps: .* \(not 'nuclei'; steps can use those above them\)"),
        ({"fov_args": {"x": {}}}, r"steps\.0\.fov_args: .* keys such as 3"),
        ({"fov_args": {3: {}, "fov_3": {}}}, r"steps\.0\.fov_args: .* each FOV once"),
        ({"fov_args": {"other/3": {}}}, r"steps: .* in fov_args of nuclei datasets only"),
        ({"threads": 0}, r"steps\.0\.threads: 0 is not allowed"),
        ({"colour": 1}, r"steps\.0\.colour: unknown key; known here: name, script, function"),
        ({"ouputs": 1}, r"steps\.0\.ouputs: unknown key; did you mean outputs\?"),
    ],
)
def test_wrong_steps_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        parse({**STEP, **change})


def test_names_and_outputs_are_used_once_and_inputs_stand_above():
    with pytest.raises(ConfigError, match=r"the step nuclei once"):
        parse(STEP, {**STEP, "outputs": ["b.csv"]})
    with pytest.raises(ConfigError, match=r"nuclei\.csv once \(in nuclei and other\)"):
        parse(STEP, {**STEP, "name": "other"})
    second = {**STEP, "name": "other", "outputs": ["b.csv"]}
    assert len(parse(STEP, {**second, "inputs": ["nuclei", "nuclei/nuclei.csv", "pc"]})) == 2
    with pytest.raises(ConfigError, match=r"not 'nuclei/absent.csv'"):
        parse(STEP, {**second, "inputs": ["nuclei/absent.csv"]})


def test_a_step_gets_its_inputs_only(tmp_path):
    base = f"{tmp_path}/plate_fov_003_"
    inputs = {
        "times": f"{base}times.csv",
        "traces": f"{base}traces.csv",
        "fl": [f"{base}fl_ch_1.npy", f"{base}fl_ch_12.npy"],
        "pc": [],
        "from_nuclei": [f"{base}nuclei.csv"],
    }
    fov = step_fov("plate", 3, inputs, {"pixel_um": 0.65})
    assert (fov.name, fov.path) == ("plate/fov_003", tmp_path)
    assert fov.stacks == {"fl": {1: Path(inputs["fl"][0]), 12: Path(inputs["fl"][1])}}
    assert fov.output("nuclei") == Path(f"{base}nuclei.csv")
    assert fov.traces_path == Path(f"{base}traces.csv")
    assert fov.metadata == {"dataset": "plate", "pixel_um": 0.65}
    person = step_fov("plate", 3, {**inputs, "inspected": f"{base}traces_inspected.csv"}, {})
    assert person.traces_path == Path(f"{base}traces_inspected.csv")
    with pytest.raises(FovflowError, match=r"no stack 'pc' .* only those that its `inputs` name"):
        fov.stack("pc")
    with pytest.raises(FovflowError, match=r"no output .* 'spots'; found: nuclei/nuclei\.csv"):
        fov.output("spots")


def test_files_appear_together_under_their_names(tmp_path):
    names = {"a": tmp_path / "fov" / "x_a.npy", "b": tmp_path / "fov" / "x_b.txt"}
    with atomic_files(names, "label") as work:
        assert {path.name for path in work.paths.values()} == {"x_a.npy", "x_b.txt"}
        for key, path in work.paths.items():
            path.write_text(key)
            assert not names[key].exists()
    assert {key: path.read_text() for key, path in names.items()} == {"a": "a", "b": "b"}
    left = tmp_path / "fov" / ".label.0123.part"
    left.mkdir()
    (left / "x_a.npy").touch()
    os.utime(left, (0, 0))
    with pytest.raises(FileNotFoundError) as caught, atomic_files(names, "label") as work:
        assert not left.exists(), "what a dead writer left is removed"
        work.paths["a"].write_text("new")
    assert caught.value.filename == "b"
    assert sorted(path.name for path in (tmp_path / "fov").iterdir()) == ["x_a.npy", "x_b.txt"]
    assert names["a"].read_text() == "a", "all or none"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("outputs['n'].parent.rmdir()", "raised OSError: .*not empty.* \\(line 4\\)"),
        ("raise SystemExit(0)", r"raised SystemExit: 0 \(line 4\)"),
        ("raise KeyError", r"raised KeyError \(line 4\); to do: the traceback is in the log"),
        ("helper()", r"raised ZeroDivisionError: .* \(line 8\)"),
        ("outputs['n'].with_suffix('.txt').touch()", r"did not write its output n; found: other f"),
        ("pass", r"did not write its output n; found: no other files; to do: .*outputs\['n'\]"),
        ("fov.stack('pc')", r"^FOV 3 has no stack 'pc'"),
        ("open('absent/file')", r"raised FileNotFoundError: .*absent/file"),
    ],
)
def test_each_failure_of_a_function_is_one_sentence(tmp_path, body, message):
    script = tmp_path / "s.py"
    script.write_text(
        "def find(fov, outputs):\n"
        "    (outputs['n'].parent / 'more').touch() if 'rmdir' in __doc__ else None\n"
        "    #\n"
        f"    {body}\n\n\n"
        "def helper():\n    1 / 0\n"
        f"\n\n__doc__ = {body!r}\n"
    )
    target = tmp_path / "out" / "plate_fov_003_n.csv"
    with pytest.raises(FovflowError, match=message):
        run_step(str(script), "find", FOV, {"n": str(target)}, {})
    assert not list(target.parent.glob("*"))


def test_scripts_and_functions_that_are_not_there(tmp_path):
    target = {"n": str(tmp_path / "n.csv")}
    with pytest.raises(FovflowError, match=r"there is no script .*absent\.py"):
        run_step(str(tmp_path / "absent.py"), "find", FOV, target, {})
    script = tmp_path / "s.py"
    script.write_text("from pathlib import Path\n\n\ndef find(fov, outputs, level):\n    pass\n")
    assert sha256_or_none(script) != sha256_or_none(tmp_path) is None
    with pytest.raises(FovflowError, match=r"has no function search; found: find; to do"):
        run_step(str(script), "search", FOV, target, {})
    with pytest.raises(FovflowError, match=r"does not take the arguments; found: .*'level'"):
        run_step(str(script), "find", FOV, target, {})
    script.write_text("import nothing_of_this_name\n")
    with pytest.raises(FovflowError, match=r"does not load; found: ModuleNotFoundError: .*line 1"):
        run_step(str(script), "find", FOV, target, {})
    (tmp_path / "s.txt").write_text("")
    with pytest.raises(FovflowError, match=r"s\.txt is no Python file"):
        run_step(str(tmp_path / "s.txt"), "find", FOV, target, {})
