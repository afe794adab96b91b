"""Samples: their table, their list in YAML, and FOVs that there must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fovflow.analysis.samples import NOT_SELECTED, Places, resolve_samples, well_of
from fovflow.config import parse_config
from fovflow.errors import ConfigError

ONE = {"datasets": {"plate": {"path": "plate.nd2"}}}
TWO = {"datasets": {"a": {"path": "a.nd2"}, "b": {"path": "b.nd2"}}}
PLACES = {
    "a": Places({0: "A1_0", 1: "A01_1", 2: "B/03/0", 3: "left"}, frozenset({0, 1, 2})),
    "b": Places({0: "", 1: ""}, frozenset({0, 1})),
}


def samples(given, config=TWO):
    return parse_config({**config, "samples": given}).samples


def table(folder: Path, *rows: str) -> str:
    path = folder / "samples.tsv"
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(path)


def wrong(given, config=TWO) -> str:
    with pytest.raises(ConfigError) as caught:
        samples(given, config)
    return str(caught.value)


def test_a_table_and_a_list_say_the_same(tmp_path):
    rows = table(
        tmp_path,
        "sample\tdataset\tfovs\tcondition\treplicate\tdose",
        "# a comment",
        "ctrl\ta\t0-1, 3\tcontrol\t1\t0",
        "",
        "drug\tb\tall\tdrug\t1\t2.5",
    )
    listed = [
        {"name": "ctrl", "dataset": "a", "fovs": "0-1, 3", "condition": "control",
         "replicate": 1, "dose": 0},
        {"name": "drug", "dataset": "b", "fovs": "all", "condition": "drug", "replicate": "1",
         "dose": 2.5},
    ]  # fmt: skip
    assert samples(rows) == samples(listed)
    assert samples(rows)[1].columns == {"dose": "2.5"}
    yaml_file = tmp_path / "samples.yaml"
    yaml_file.write_text('samples: [{name: s, dataset: a, fovs: "0-5, 7"}]')
    assert samples(str(yaml_file))[0].fovs == "0-5, 7"
    assert samples(None) == ()


@pytest.mark.parametrize("key", ["condition", "replicate"])
def test_a_number_has_one_spelling(key):
    rows = [{"name": name, "fovs": fov} for fov, name in enumerate("ab")]
    for first, second in ((1, "1.0"), ("0.5", ".50"), ("1e3", 1000)):
        given = [rows[0] | {key: first}, rows[1] | {key: second}]
        with pytest.raises(ConfigError, match=f"one spelling of each number .a {key} is {first}"):
            samples(given, ONE)
    assert len(samples([rows[0] | {key: "day1"}, rows[1] | {key: 1}], ONE)) == 2


def test_the_fovs_of_samples():
    first, second = resolve_samples(
        samples([
            {"name": "wells", "dataset": "a", "wells": "a1, B3", "condition": 5},
            {"name": "last", "dataset": "a", "positions": ["Left"]},
        ]),
        PLACES,
    )  # fmt: skip
    assert (first.fovs, first.condition) == ({0: "A1_0", 1: "A01_1", 2: "B/03/0"}, "5")
    assert (second.fovs, second.left_out) == ({}, {3: NOT_SELECTED})
    (alone,) = resolve_samples(samples([{"name": "s", "fovs": 1}], ONE), {"plate": PLACES["b"]})
    assert (alone.dataset, alone.fovs) == ("plate", {1: ""})
    (none,) = resolve_samples(samples([{"name": "s", "fovs": 1}], ONE), {"plate": None})
    assert (none.fovs, none.problem) == ({}, "the dataset plate cannot be processed")


def test_all_that_is_wrong_with_fovs_is_one_error():
    given = samples([
        {"name": "x", "dataset": "a", "wells": "A1, B4"},
        {"name": "y", "dataset": "a", "fovs": "0-5"},
        {"name": "z", "fovs": "1"},
        {"name": "q", "dataset": "aa", "fovs": "1"},
        {"name": "r", "dataset": "b", "positions": "middle"},
    ])  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        resolve_samples(given, PLACES)
    assert str(caught.value).splitlines() == [
        "the samples have 6 errors:",
        "  sample x: no well 'B4'; positions: A1_0, A01_1, B/03/0, left",
        "  sample y: FOVs 4-5 of 4 that there are, counted from 0",
        "  sample z: no dataset is named; there are a, b",
        "  sample q: the dataset 'aa' does not exist (did you mean a?); there are a, b",
        "  sample r: no position 'middle'; positions: none has a name",
        "  FOVs 0-1 of a in the samples x, y",
        "  see docs/analysis.md",
    ]


def test_all_that_is_wrong_with_a_list_is_one_error():
    text = wrong(
        [
            {"name": "a/b", "fovs": "0"},
            {"name": "t", "fovs": "5-3"},
            {"name": "none"},
            {"name": "two", "fovs": 1, "wells": "B1"},
            {"name": "v", "fov": 1},
            {"name": "w", "fovs": 1, "time_h": 2},
            {"name": "logs", "fovs": 3},
        ]
    )
    assert text.startswith("the configuration has 7 errors:")
    for part in (
        "samples.0.name: 'a/b' is not allowed",
        "samples.1.fovs: '5-3' is not allowed; allowed: the range '5-3' is reversed",
        "one of fovs, wells and positions (sample none: none of them)",
        "one of fovs, wells and positions (sample two: fovs and wells)",
        "fov is no key of a sample; did you mean fovs?",
        "(not time_h)",
        "samples.6.name: 'logs' is not allowed",
    ):
        assert part in text
    assert "(S, s stand twice)" in wrong([{"name": "S", "fovs": 0}, {"name": "s", "fovs": 1}])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["sample\tfovs\tdose\tdose", "a\t0\t1\t2"], "two columns of one name; found: dose; to do"),
        (["name\tfovs", "a\t0"], "needs the columns sample, and fovs, wells or positions"),
        (["sample\tfovs", "a\t0\tb"], "row 2 has more fields than the header"),
        (["sample\tfovs", "a\t"], "one of fovs, wells and positions (sample a: none of them)"),
        (["sample\tfovs", "\t0"], "samples.0.name: '' is not allowed"),
        ([], "found: nothing"),
    ],
)
def test_a_wrong_table(tmp_path, rows, expected):
    assert expected in wrong(table(tmp_path, *rows))


def test_a_missing_table():
    assert "samples: cannot read the table nowhere.tsv" in wrong("nowhere.tsv")


def test_a_fit_needs_samples_and_bounds_in_order():
    with pytest.raises(ConfigError, match=r"fit: .*only together with samples"):
        parse_config({**ONE, "fit": {"model": "trivial"}})
    good = {"samples": [{"name": "s", "fovs": 0}]}
    with pytest.raises(ConfigError, match=r"low below high \(t0\)"):
        parse_config({**ONE, **good, "fit": {"bounds": {"t0": [3, 0]}}})
    assert parse_config({**ONE, **good, "fit": {}}).fit.model == "trivial"


@pytest.mark.parametrize(
    ("name", "well"), [("B03", "B3"), ("b3_f001", "B3"), ("A/12/0", "A12"), ("A123", "a123")]
)
def test_wells_in_names_of_positions(name, well):
    assert well_of(name) == well


@pytest.mark.parametrize(
    "text",
    [
        "sample;fovs;condition;dose\r\na ;0-1, 3;control;2,5\r\nb;2;drug;\r\n",
        '\ufeffsample,fovs,condition,dose\na,"0-1, 3",control,"2,5"\nb,2,drug,\n',
        "sample\tfovs\tcondition \tdose\t\t\na\t0-1, 3\tcontrol\t2,5\t\t\n\t\t\t\t\t\nb\t2\tdrug\n",
    ],
)
def test_tables_as_spreadsheets_save_them(text, tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert "a decimal point, not a comma (2,5)" in wrong(str(path), ONE)
    path.write_text(text.replace("2,5", "2.5"), encoding="utf-8", newline="")
    first, second = samples(str(path), ONE)
    assert (first.name, first.fovs, first.condition) == ("a", "0-1, 3", "control")
    assert (first.columns, second.columns) == ({"dose": "2.5"}, {"dose": ""})


def test_a_quote_that_never_ends_does_not_swallow_samples(tmp_path):
    rows = table(tmp_path, "sample\tfovs\tnote", 'a\t0\t"5 inch', "b\t1\tx")
    assert "each quote needs another one" in wrong(rows, ONE)
    rows = table(tmp_path, "sample\tfovs\tnote", 'a\t0\t5"', "b\t1\tx")
    assert [each.columns["note"] for each in samples(rows, ONE)] == ['5"', "x"]


def test_a_list_in_a_file_is_to_be_corrected_and_never_deleted(tmp_path):
    path = tmp_path / "samples.yaml"
    for text in (b"samples: [{name: 010, fovs: 0}]", b"- {name: \xe4, fovs: 0}", b"a: [", None):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text)
        assert "delete" not in (told := wrong(str(path), ONE))
        assert "the table of samples" in told or "there is no table of samples" in told
