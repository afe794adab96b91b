"""YAML and JSON records."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fovflow.errors import FovflowError
from fovflow.records import read_json, read_yaml, write_json, write_yaml

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
DATA = st.recursive(
    SCALARS, lambda s: st.lists(s, max_size=3) | st.dictionaries(TEXT, s, max_size=3), max_leaves=12
)
FINITE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda s: st.lists(s, max_size=3) | st.dictionaries(TEXT, s, max_size=3),
    max_leaves=12,
)
RELAXED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@RELAXED
@given(DATA)
def test_yaml_round_trip(tmp_path, data):
    write_yaml(tmp_path / "r.yaml", data)
    assert read_yaml(tmp_path / "r.yaml") == data


@RELAXED
@given(FINITE)
def test_json_round_trip(tmp_path, data):
    write_json(tmp_path / "r.json", data)
    assert read_json(tmp_path / "r.json") == data


def test_order_letters_and_numpy_values(tmp_path):
    data = {
        "zeit": "µm, 日本",
        "area": np.int64(3),
        "list": (np.float64(0.5), PurePosixPath("a/b")),
        "array": np.array([1, 2], np.uint16),
        "on": np.True_,
    }
    write_yaml(tmp_path / "r.yaml", data)
    text = (tmp_path / "r.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "zeit: µm, 日本"
    assert list(read_yaml(tmp_path / "r.yaml")) == list(data)
    write_json(tmp_path / "r.json", data)
    assert "日本" in (tmp_path / "r.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "r.json")["list"] == [0.5, "a/b"]
    write_json(tmp_path / "r.json", data, sort_keys=True)
    assert list(read_json(tmp_path / "r.json")) == sorted(data)


def test_yaml_is_the_same_with_and_without_libyaml(tmp_path, monkeypatch):
    data = {"params": {"method": "iou", "x": [1, 2.5, None, True]}, "0": [[1, "fov_000/a b.npy"]]}
    write_yaml(tmp_path / "c.yaml", data)
    monkeypatch.delattr(yaml, "CSafeDumper", raising=False)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    write_yaml(tmp_path / "p.yaml", data)
    assert (tmp_path / "c.yaml").read_bytes() == (tmp_path / "p.yaml").read_bytes()
    assert read_yaml(tmp_path / "p.yaml") == data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: !!python/object/apply:os.system ['true']", "python/object"),
        (b"a: [1, 2", "line 1"),
        (b"a: 1\na: 2\n", "'a' stands twice"),
        (b"a: 1\n---\nb: 2\n", "document"),
        (b"\xff\xfe\xfa", "YAML"),
        (b"a: !!int x", "YAML"),
        (b"a: 2024-99-99", "YAML"),
        (b"!!map x", "YAML"),
        (b"[" * 5000, "YAML"),
    ],
)
def test_yaml_garbage_is_refused(tmp_path, content, words):
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(FovflowError, match=words):
        read_yaml(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": NaN}', b"[-Infinity]", b"\xff\xfe", b"[" * 100_000, b"1 2"]
)
def test_json_garbage_is_refused(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(FovflowError, match="not a readable JSON"):
        read_json(tmp_path / "r.json")


def test_what_cannot_be_written_is_named_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.json"
    write_json(path, {"a": 1})
    for data, words in [
        ({"a": {"b": [0, float("nan")]}}, r"a\.b\[1\]"),
        ({"a": object()}, "a: cannot be written: object"),
        ({"a": {1: 2}}, "a: JSON keys"),
    ]:
        with pytest.raises(ValueError, match=words):
            write_json(path, data)
    with pytest.raises(ValueError, match="a: cannot be written: set"):
        write_yaml(path, {"a": {1}})
    assert json.loads(path.read_text()) == {"a": 1}


def test_missing_files(tmp_path):
    for read in (read_json, read_yaml):
        with pytest.raises(FovflowError, match="cannot open"):
            read(tmp_path / "absent")
