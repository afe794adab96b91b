"""The configuration: defaults, strings from the command line, and every error at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

import fovflow
import fovflow.testing
from fovflow.cli.common import chosen_outdir
from fovflow.cli.show import report, status
from fovflow.config import Config, config_schema, load_config, parse_config
from fovflow.config.documents import DOCUMENTS
from fovflow.config.load import merged_config, read_config, read_datasets
from fovflow.errors import ConfigError
from paths import ROOT

MINIMAL = {"datasets": {"a": {"path": "a.nd2"}}}


def test_only_datasets_must_be_given():
    config = parse_config(MINIMAL)
    assert config.outdir == "results"
    assert config.channels.pc == 0
    assert config.fovs == "all"
    assert config.kept() == {"pc", "fl", "seg_labeled"}
    everything = parse_config(MINIMAL | {"keep": "all"})
    assert everything.kept() == {"pc", "fl", "seg", "fl_corrected", "seg_labeled"}
    assert config.segment.method == "logstd"
    assert config.correct.method == "tiles"
    assert config.track.method == "iou"
    with pytest.raises(ConfigError, match="datasets: this key must be given"):
        parse_config({})


def test_the_configuration_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        parse_config(MINIMAL).outdir = "x"


def test_strings_from_the_command_line_are_accepted():
    config = parse_config(
        {
            **MINIMAL,
            "fovs": 3,
            "frames": "2-9:2",
            "channels": {"pc": "0", "fl": "GFP, 2"},
            "keep": "pc, seg",
            "copy": {"z": "2"},
        }
    )
    assert config.fovs == "3"
    assert (config.frames.range, config.frames.step) == ("2-9", 2)
    assert config.channels.fl == ("GFP", "2")
    assert config.kept() == {"pc", "seg"}
    assert config.copy_.z == 2


def test_every_error_is_told_in_one_line_that_names_key_value_and_remedy():
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {
                "datasets": {"a": {"path": "a.nd2", "pixle_um": 1}, "b": {}},
                "outdri": "x",
                "fovs": "5-2",
                "frames": "x",
                "time_units": "days",
                "channels": {"pc": -1, "seq": 3},
                "segment": {"method": "logstd", "tresh": 1},
                "track": {"method": "iou", "max_gap": "many"},
                "keep": ["everything"],
                "fit": {"model": "trivial"},
            }
        )
    text = str(caught.value)
    for line in (
        "datasets.a.pixle_um: unknown key; did you mean pixel_um?",
        "datasets.b.path: this key must be given",
        "outdri: unknown key; did you mean outdir?",
        "fovs: '5-2' is not allowed; allowed: the range '5-2' is reversed",
        "frames: 'x' is not allowed",
        "time_units: 'days' is not allowed; allowed: 's', 'min' or 'h'",
        "channels.pc: -1 is not allowed",
        "channels.seq: unknown key; did you mean seg?",
        "segment.tresh: unknown key",
        "track.max_gap: 'many' is not allowed",
        "keep.0: 'everything' is not allowed",
        "fit: a mapping is not allowed; allowed: a model only together with samples",
    ):
        assert line in text
    assert text.startswith("the configuration has 12 errors:")
    assert len(text.splitlines()) == 14


@pytest.mark.parametrize("name", ["../x", "a/b", "runs", "analysis", ".hidden", "", "a..b", "x\ny"])
def test_dataset_names_that_are_no_folder_names_are_refused(name):
    with pytest.raises(ConfigError, match="datasets"):
        parse_config({"datasets": {name: {"path": "a.nd2"}}})


@pytest.mark.parametrize("name", ["plate 1", "Zellen-Ä", "a.b", "数据", "t98g+2"])
def test_dataset_names_may_have_spaces_and_any_letters(name):
    assert list(parse_config({"datasets": {name: {"path": "a"}}}).datasets) == [name]


def test_names_that_differ_by_case_only_are_refused():
    with pytest.raises(ConfigError, match="differ by more than case"):
        parse_config({"datasets": {"Plate": {"path": "a"}, "plate": {"path": "b"}}})


def test_a_plugin_method_takes_options_of_its_own():
    config = parse_config(
        {**MINIMAL, "segment": {"method": "someones_own", "options": {"depth": 3}}}
    )
    assert config.segment.method == "someones_own"
    assert config.segment.options == {"depth": 3}


@pytest.mark.parametrize(("config", "told"), [
    ({"segment.n_sigm": 3}, "segment.n_sigm: a key of a section is written segment: {n_sigm: …}, "
     "on the command line --config 'segment={n_sigm: …}'"),
    ({"datasets.a.fovs": 1}, "a key of a section is written datasets: {a: {fovs: …}}, on the"),
    ({"datasets": {"a": {"path": "x", "channels.pc": 1}}},
     "datasets.a.channels.pc: a key of a section is written channels: {pc: …}\n"),
    ({"segmnt.n_sigma": 3}, "segmnt.n_sigma: unknown key"),
])  # fmt: skip
def test_a_key_with_a_point_is_told_in_the_form_of_sections(config, told):
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **config})
    assert told in str(caught.value)


def test_a_key_that_is_called_like_a_method_is_named():
    with pytest.raises(ConfigError, match=r"segment\.threshold: unknown key; known here: method"):
        parse_config({**MINIMAL, "segment": {"method": "threshold", "threshold": 3}})


def test_files_that_are_no_configuration_are_named(tmp_path):
    for name, text in {"list": "- 1\n", "tabs": "a:\n\tb: 1\n", "empty": ""}.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=f"{name}.yaml"):
            load_config(path)
    with pytest.raises(ConfigError, match="there is no config file"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2\n", "\tb: 1\n", "- 1\n"])
def test_a_broken_configuration_is_to_be_corrected_and_never_deleted(tmp_path, monkeypatch, text):
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "config.yaml"
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    ways = (
        lambda: chosen_outdir(None),
        lambda: fovflow.run(path),
        lambda: fovflow.testing.job("copy", "a", 0),
        lambda: fovflow.execution(path),
        lambda: status.run(None, str(path), json=False),
        lambda: report.run(None, str(path), None, single=False),
        lambda: load_config(path),
    )
    for way in ways:
        with pytest.raises(ConfigError, match=r"the config file .*config\.yaml") as raised:
            way()
        assert "delete" not in str(raised.value)


def test_python_tags_in_yaml_do_no_harm(tmp_path):
    path = tmp_path / "hostile.yaml"
    path.write_text("outdir: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ConfigError, match=r"hostile\.yaml cannot be read"):
        load_config(path)


def test_pydantics_names_of_branches_are_no_keys():
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {
                "datasets": {"str": {"path": 3}, "b": None},
                "copy": {"z": "top"},
                "extract": {"saturation": -1},
            }
        )
    assert str(caught.value).splitlines()[1:-1] == [
        "  datasets.str.path: 3 is not allowed; allowed: text; put it into quotes, as you mean it",
        "  datasets.b: None is not allowed; allowed: a mapping of keys to values, such as "
        "{path: …}",
        "  copy.z: 'top' is not allowed; allowed: 'middle', 'max' or 'mean' or a whole number or "
        "a mapping of keys to values",
        "  extract.saturation: -1 is not allowed; allowed: greater than 0 or a mapping of keys to "
        "values",
    ]


def test_aliases_in_yaml_do_not_explode(tmp_path):
    path = tmp_path / "laughs.yaml"
    lines = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 30)]
    path.write_text("\n".join(["l0: &l0 [ha]", *lines, "outdir: *l29", "keep: *l29"]) + "\n")
    with pytest.raises(ConfigError, match=r"outdir: \[\[\[.* is not allowed; allowed: text"):
        load_config(path)


def test_a_table_of_datasets(tmp_path):
    table = tmp_path / "datasets.tsv"
    table.write_text(
        "# a comment\ndataset\tpath\tpixel_um\tinterval_s\tfovs\tpc\tfl\n"
        "a\tx y/a.nd2\t\t\t0-2\tPhase\tGFP, 2\nb\tb/*.tif\t0.87\t600\t\t0\t\n"
    )
    config = parse_config({"datasets": str(table)})
    assert config.datasets["a"].path == "x y/a.nd2"
    assert config.datasets["a"].channels.fl == ("GFP", "2")
    assert config.datasets["b"].pixel_um == 0.87
    assert config.datasets["b"].fovs is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\tpath\na\tb\n", "needs the columns dataset and path"),
        ("dataset\tpath\nx\ta\nx\tb\n", "row 3 has the dataset 'x' twice"),
        ("dataset\tpath\n\ta\n", "row 2 has no dataset name"),
        ("dataset\tpath\tcolour\n", "needs the columns"),
        ("dataset\tpath\na\tb\tc\n", "more fields than the header"),
    ],
)
def test_wrong_tables_are_named(tmp_path, text, message):
    table = tmp_path / "datasets.tsv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_datasets(table)
    with pytest.raises(ConfigError, match="cannot read the table"):
        parse_config({"datasets": str(tmp_path / "absent.tsv")})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_agree_with_the_model(name):
    written = (ROOT / "config" / name).read_text(encoding="utf-8")
    assert written == DOCUMENTS[name](), "run: make documents"


def test_the_template_holds_the_defaults_and_fits_the_schema():
    content = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(content, config_schema())
    defaults = parse_config(MINIMAL).model_dump(by_alias=True, exclude={"datasets"})
    given = load_config(ROOT / "config" / "config.yaml")
    assert given.model_dump(by_alias=True, exclude={"datasets"}) == defaults
    keys = {spec.alias or name for name, spec in Config.model_fields.items()}
    assert set(content) == keys


@pytest.mark.parametrize(
    "content",
    [
        {"outdir": "x"},
        {**MINIMAL, "colour": 1},
        {**MINIMAL, "time_units": "days"},
        {"datasets": {"a": {"path": "x", "pixel_um": 0}}},
    ],
)
def test_the_schema_refuses_what_the_model_refuses(content):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, config_schema())
    with pytest.raises(ConfigError):
        parse_config(content)


def test_the_example_table_is_read():
    datasets = read_datasets(Path(ROOT) / "config" / "datasets.tsv")
    assert datasets["plate1"] == {
        "path": "data/plate1.nd2",
        "fovs": "all",
        "channels": {"pc": "Phase", "fl": "GFP, RFP"},
    }
    json.dumps(datasets)


@pytest.mark.parametrize(
    "name",
    [
        "sim\n",
        "sim ",
        "sim.",
        " sim",
        "",
        "-dash",
        "+a",
        ".a",
        "a..b",
        "a/b",
        "a\\b",
        "a\tb",
        "a\x00",
        "logs",
        "Logs",
        "RUNS",
        "analysis",
        "Report.html",
        "con",
        "NUL",
        "nul.tif",
        "Com1",
        "lpt9.x.y",
        "e\u0301",
        "a\u202eb",
        "a\x85",
        "a" * 101,
        "ж" * 51,
        "\ud800",
        "a:b",
        "null",
        "Null",
        "a*b",
        "a{b}",
    ],
)
def test_names_of_datasets_that_are_no_good_folders_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        parse_config({"datasets": {name: {"path": "a.nd2"}}})
    assert "datasets: a mapping is not allowed; allowed: " in str(caught.value)


@pytest.mark.parametrize(
    "name", ["sim", "a b", "é", "細胞 1", "_a", "a-", "con2", "comet", "a" * 100]
)
def test_names_of_datasets_that_are_good_folders_are_taken(name):
    assert list(parse_config({"datasets": {name: {"path": "a.nd2"}}}).datasets) == [name]


@pytest.mark.parametrize("names", [("Sim", "sim"), ("Straße", "STRASSE"), ("É", "é")])
def test_names_that_are_one_on_some_disks_are_refused(names):
    with pytest.raises(ConfigError, match="names that differ by more than case"):
        parse_config({"datasets": {name: {"path": "a.nd2"} for name in names}})


@pytest.mark.parametrize(
    ("outdir", "said"),
    [
        ("a{b}c", "a folder without { and }"),
        ("a}", "a folder without { and }"),
        ("default", "which Snakemake takes for a profile"),
        ("./default/", "which Snakemake takes for a profile"),
        ("default/x", "which Snakemake takes for a profile"),
        ("~no-such-person/x", "there is no home folder of that name"),
        ("a\nb", "a path on one line"),
        ("a\0b", "a path on one line"),
        ("", "text that is not empty"),
    ],
)
def test_output_folders_that_cannot_work_are_refused(outdir, said):
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, "outdir": outdir})
    assert "outdir: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "outdir", ["results", "/abs/default", "my default", "defaults", "../default"]
)
def test_output_folders_that_work_are_taken(outdir):
    assert parse_config({**MINIMAL, "outdir": outdir}).outdir == outdir


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frames", "1-2\n"),
        ("frames", "9" * 30),
        ("frames", "0-" + "9" * 5000),
        ("fovs", "9" * 5000),
        ("fovs", "0-" + "9" * 30),
        ("fovs", ",".join(f"{i}0000000-{i}9999999" for i in range(1, 9))),
    ],
)
def test_numbers_beyond_measure_are_refused_at_once(key, value):
    if value.endswith("\n"):
        assert parse_config({**MINIMAL, key: value}).frames.range == "1-2"
        return
    with pytest.raises(ConfigError, match=f"{key}: "):
        parse_config({**MINIMAL, key: value})


@pytest.mark.parametrize("column", ["path", "dataset", "pixel_um"])
def test_a_column_that_stands_twice_in_a_table_is_refused(column, tmp_path):
    table = tmp_path / "t.tsv"
    table.write_text(f"dataset\tpath\tpixel_um\t{column}\na\ta.nd2\t1\tb\n")
    with pytest.raises(ConfigError, match=f"two columns of one name; found: {column}; to do"):
        read_datasets(table)


@pytest.mark.parametrize(
    ("twice", "words"),
    [
        ("outdir: a\noutdir: b\n", "the key 'outdir' stands twice, line 2, column 1: outdir: b"),
        ("datasets: {a: {path: x}, a: {path: y}}\n", "the key 'a' stands twice, line 1, column 26"),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_line(twice, words, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"{twice}")
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert str(refused.value.found).startswith(words)


@pytest.mark.parametrize(
    "content",
    [
        {"segment": {"n_sigma": True}},
        {"segment": {"max_area_um2": False}},
        {"qc": {"min_frames": True}},
        {"copy": {"z": True}},
        {"copy": {"crop": {"y1": True, "x1": 9}}},
        {"channels": {"pc": True}},
        {"channels": {"fl": [True]}},
        {"extract": {"saturation": {"1": True}}},
        {"correct": {"dark": True}},
        {"datasets": {"a": {"path": "a.nd2", "pixel_um": True}}},
        {"fit": {"start": {"beta": True}}, "samples": [{"name": "a", "fovs": 0}]},
        {"fit": {"bounds": {"beta": [False, 2]}}, "samples": [{"name": "a", "fovs": 0}]},
        {"samples": [{"name": "a", "fovs": 0, "condition": True}]},
        {"run": {"progress_every": True}},
        {"run": {"alerts": [{"name": "a", "metric": "m", "rule": "is above", "threshold": True}]}},
    ],
)
def test_truth_values_are_no_numbers_and_no_text(content):
    with pytest.raises(ConfigError, match=r"(True|False) is not allowed"):
        parse_config({"datasets": {"a": {"path": "a.nd2"}}} | content)


def test_truth_values_stay_where_they_are_meant():
    step = {"name": "s", "script": "s.py", "function": "f", "outputs": ["a.csv"]}
    config = parse_config(
        {"datasets": {"a": {"path": "a.nd2"}}, "segment": {"split": False},
         "run": {"metadata": {"pilot": True}}, "steps": [{**step, "args": {"all": True}}],
         "correct": {"method": "of_a_plugin", "options": {"deep": True}}}
    )  # fmt: skip
    assert (config.segment.split, config.run.metadata, config.steps[0].args) == (
        False, {"pilot": True}, {"all": True}
    )  # fmt: skip
    assert config.correct.options == {"deep": True}


@pytest.mark.parametrize("given", [{"condition": "0,5"}, {"dose": "-1,25"}, {"dose": " 10,0 "}])
def test_a_dose_with_a_decimal_comma_is_told(given):
    sample = {"name": "a", "fovs": "0,5"}
    content = {"datasets": {"a": {"path": "a.nd2"}}}
    with pytest.raises(ConfigError, match="a decimal point, not a comma"):
        parse_config(content | {"samples": [sample | given]})
    parse_config(content | {"samples": [sample | dict.fromkeys(given, "0.5, 1,2-diol")]})


@pytest.mark.parametrize("value", [1e300, -1e300, float("inf"), float("nan"), 10**400])
@pytest.mark.parametrize(
    "place",
    ["datasets.a.interval_s", "datasets.a.pixel_um", "segment.max_area_um2", "track.reach_um",
     "qc.border_px", "run.resources_interval_s", "run.silent_after_min", "run.progress_every"],
)  # fmt: skip
def test_numbers_that_nothing_can_have_are_refused(place, value):
    content = {"datasets": {"a": {"path": "a.nd2"}}}
    inner = content
    *folders, key = place.split(".")
    for name in folders:
        inner = inner.setdefault(name, {})
    inner[key] = value
    with pytest.raises(ConfigError, match=key):
        parse_config(content)


def test_what_is_nobodys_quantity_may_be_any_number():
    options = {"low": float("-inf"), "high": 1e300}
    content = {"datasets": {"a": {"path": "a.nd2"}}, "run": {"metadata": {"x": 1e300}}}
    content["segment"] = {"method": "mine", "options": options}
    assert parse_config(content).segment.options == options
    with pytest.raises(ConfigError, match=r"run\.metadata\.x"):
        parse_config({**content, "run": {"metadata": {"x": float("inf")}}})


@pytest.mark.parametrize("name", ["001", "20240131", "2024-01-31", "1_2", "on", "1.5", "null"])
def test_names_that_yaml_takes_for_something_else_are_told_as_written(name, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"datasets:\n  {name}: {{path: a.nd2}}\n  other: {{path: b.nd2}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert f'found: {name}; to do: put them into quotes: "{name}"' in str(caught.value)
    file.write_text(f'datasets:\n  "{name}x": {{path: a.nd2}}\n')
    assert list(load_config(file).datasets) == [f"{name}x"]


def test_the_text_null_of_the_command_line_is_null():
    """Inside of braces, --config gives text only."""
    content = {
        "datasets": {"a": {"path": "x", "channels": {"pc": "null", "fl": "GFP"}}},
        "channels": {"pc": "null", "fl": ["null"]},
        "fit": "null",
        "correct": {"method": "tiles", "tile_um": "null"},
        "run": {"description": "null"},
    }
    config = parse_config(content)
    assert config.channels.pc is config.fit is config.correct.tile_um is None
    assert config.dataset("a").channels.pc is None
    assert config.channels.fl == ("null",), "a name in a list is no null"
    assert config.run.description == "null", "a text that cannot be null stays"


def test_a_dataset_takes_several_patterns():
    config = parse_config({"datasets": {"a": {"path": "x", "pattern": ["a{time}", "b{time}"]}}})
    assert config.dataset("a").pattern == ("a{time}", "b{time}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"# M\xfcller\n", "it is not UTF-8, the encoding of text (byte 0xfc in line 3)"),
        ("fovs: 0\n".encode("utf-16"), "byte 0xff in line 3"),
        (b"segment:\n\xc2\xa0 n_sigma: 4\n", "a special space, '\\xa0', in line 4"),
        (b"segment:\n  n_sigma:\xc2\xa04\n", "a special space, '\\xa0', in line 4"),
        (b"fovs: 010\n", "010 is 8 in YAML: write that, or put it into quotes"),
        (b"samples: [{name: a, fovs: 0, replicate: 007}]\n", "007 is 7 in YAML"),
        (b"run: {metadata: {start: 10:30}}\n", "10:30 is 630 in YAML"),
    ],
)  # fmt: skip
def test_what_an_editor_or_yaml_made_of_a_text_is_told_with_its_place(text, said, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"datasets:\n  a: {path: a.nd2}\n" + text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert said in str(caught.value)
    assert "to do: mend the YAML, saved as UTF-8: plain spaces" in str(caught.value)


def test_texts_with_such_letters_and_such_numbers_in_quotes_are_taken(tmp_path):
    file = tmp_path / "config.yaml"
    text = (
        "# a\u00a0comment\ndatasets:\n  a: {path: 'a\u202f1.nd2', fovs: \"010\"}\n"
        "run:\n  description: a,\u00a0b\ntime_units: h\nsegment: {n_sigma: 0.5}\nfovs: 08\n"
    )
    file.write_bytes("\ufeff".encode() + text.replace("\n", "\r\n").encode())
    config = load_config(file)
    assert (config.dataset("a").fovs, config.fovs) == ("010", "08")
    assert config.run.description == "a,\u00a0b"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("segment: {n_sigma: 3,5}", "segment: the key 5 is no name; a number is written with a "
         "point, not a comma"),
        ("copy: {crop: {y1: 1,5, x1: 9}}", "copy.crop: the key 5 is no name"),
        ("1: x", "  the key 1 is no name"),
        ("qc: {focus_ratio: '0,5'}", "qc.focus_ratio: '0,5' is not allowed; allowed: a number, "
         "with a decimal point and without its unit"),
        ("track: {reach_um: 20 um}", "track.reach_um: '20 um' is not allowed; allowed: a number, "
         "with a decimal point"),
        ("fovs: [0, 1]", 'fovs: [0, 1] is not allowed; allowed: all, or indices and ranges as '
         'text, such as "0-5, 7"'),
        ("fovs:", "fovs: None is not allowed; allowed: all, or indices"),
        ("frames: [0, 5]", 'frames: [0, 5] is not allowed; allowed: all, a range such as "0-99"'),
        ("samples: [{name: a, fovs: [0, 1]}]", "samples.0.fovs: [0, 1] is not allowed; allowed: "
         "all, or indices"),
        ("samples: [{name: a, fovs: 0}]\nfit: {bounds: {t0: [0, 1, 2]}}",
         "fit.bounds.t0: [0, 1, 2] is not allowed; allowed: a list of two"),
        ("samples: [{name: a, fovs: 0, condition: Drug}]\nstatistics: {reference: drug}",
         "as reference (Drug), not drug"),
    ],
)  # fmt: skip
def test_what_a_person_would_write_is_told_how_it_is_written(content, said, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"datasets:\n  a: {{path: a.nd2}}\n{content}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert said in str(caught.value)


def test_changes_of_the_command_line_go_into_sections_as_snakemake_puts_them(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("datasets: {a: {path: a.nd2}}\nsegment: {method: unet, min_area_um2: 9}\n")
    changes = [
        "segment={probability: 0.3}",
        "fovs=010",
        "keep=[pc]",
        "fit=",
        "no value",
        "outdir=a: b",
    ]
    merged = merged_config([str(file)], changes)
    assert merged["segment"] == {"method": "unet", "min_area_um2": 9, "probability": 0.3}
    assert (merged["fovs"], merged["keep"], merged["fit"]) == ("010", ["pc"], None)
    assert (file.read_text().count("probability"), merged["outdir"]) == (0, {"a": "b"})
    assert parse_config(merged | {"outdir": "x"}).segment.probability == 0.3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"segment": "logstd"}, "a mapping of keys to values, such as {method: logstd}"),
        ({"correct": False}, "a mapping of keys to values, such as {method: …}"),
        ({"datasets": {"a": "a.nd2"}}, "a mapping of keys to values, such as {path: a.nd2}"),
        ({"fit": "trivial"}, "a mapping of keys to values, such as {model: trivial}"),
        ({"min_area_um2": 50}, "min_area_um2: unknown key; min_area_um2 is a key of segment"),
        ({"pixel_um": 0.65}, "pixel_um: unknown key; pixel_um is a key of datasets"),
        ({"segment": {"max_gap": 2}}, "segment.max_gap: unknown key; max_gap is a key of track"),
        ({"track": {"max_gap": "1e1"}}, "allowed: a whole number, without its unit"),
        ({"segment": {"method": "LogSTD"}}, "an installed plug-in (did you mean logstd?)"),
        ({"track": {"method": "lap_trak", "options": {}}}, None),  # may be where the jobs run
        ({"track": {"method": "laptrak"}}, "an installed plug-in (did you mean laptrack?)"),
    ],
)
def test_slips_are_told_with_what_was_meant(content, words):
    config = {"datasets": {"a": {"path": "a.nd2"}}, "channels": {"pc": 0}} | content
    if words is None:
        parse_config(config)
    else:
        with pytest.raises(ConfigError, match=re.escape(words)):
            parse_config(config)


def test_typographic_quotes_are_told(tmp_path):
    path = tmp_path / "c.yaml"
    for text in ("a: “b”", "a: {b: ‘c’}", "a: [«b»]", "a:\n  - „b“"):
        path.write_text(f"{text}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"found: a typographic quote, .*: write ' or"):
            read_config(path)
    for text in ("a: the “b”, “c”", "# a: “b”", 'a: "“b”"', "a: b’s"):
        path.write_text(f"x: 1\n{text}\n", encoding="utf-8")
        assert read_config(path)["x"] == 1
