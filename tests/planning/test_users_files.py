"""Files that a user gives to a step are known by their content."""

import pytest

from fovflow.errors import ConfigError
from fovflow.planning.pipeline import Pipeline
from fovflow.simulation import MovieParams, simulate, write_movie


def test_other_weights_of_a_network_are_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    movie = simulate(MovieParams(positions=1, frames=1, height=32, width=32, cells=0))
    write_movie(movie, tmp_path / "raw.nd2")
    config = {
        "datasets": {"a": {"path": "raw.nd2"}},
        "channels": {"pc": 0, "fl": []},
        "segment": {"method": "cellpose", "model": "weights"},
    }

    def content() -> object:
        return Pipeline(config).parameters("segment", "a").get("content")

    assert content() is None  # the name of a model that the package knows
    with pytest.raises(ConfigError, match="the network weights is not there"):
        Pipeline({**config, "segment": {"method": "unet", "model": "weights"}})
    (tmp_path / "weights").write_bytes(b"one")
    first = content()
    assert first is not None
    (tmp_path / "weights").write_bytes(b"two")
    assert (second := content()) not in (None, first)
    (tmp_path / "weights.json").write_text('{"pixel_um": 1}')
    assert content() not in (None, first, second), "it says how frames are made ready"


@pytest.mark.parametrize("key", ["dark", "flat_field"])
def test_an_image_that_is_not_there_is_refused_before_anything_is_done(tmp_path, monkeypatch, key):
    """The engine would leave out the steps that need it, where there are outputs of before."""
    monkeypatch.chdir(tmp_path)
    config = {"datasets": {"a": {"path": "raw.nd2"}}, "correct": {key: "image.npy"}}
    for make in (lambda: None, (tmp_path / "image.npy").mkdir):
        make()
        with pytest.raises(ConfigError, match=r"the (dark frame|flat-field) image\.npy is not"):
            Pipeline(config)


PLUGIN = {
    "lab/__init__.py": "",
    "lab/parts.py": """
from fovflow.config.features import Feature
from fovflow.kinetics import Model, Parameter
from fovflow.plugins import Method, Settings

OWN = Method("lab.kernels:Own", Settings)
BRIGHT = Feature("bright", "fl", "counts", "its brightness", "lab.kernels:bright")
LINE = Model("line", "a", (Parameter("a", "a.u.", 1.0, 0.0, 2.0),), lambda t, a: a + 0 * t)
""",
    "lab/kernels.py": "def bright(cells): ...\nclass Own: ...\n",
    "lab-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n",
    "lab-1.0.dist-info/entry_points.txt": "".join(
        f"[fovflow.{kind}]\n{name} = lab.parts:{name.upper()}\n"
        for kind, name in [("segmenters", "own"), ("correctors", "own"), ("trackers", "own"),
                           ("features", "bright"), ("models", "line")]
    ),
}  # fmt: skip
"""A package with a part of each kind that steps use."""


def test_other_code_of_a_plugin_is_noticed_though_its_revision_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in PLUGIN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    movie = simulate(MovieParams(positions=1, frames=2, height=32, width=32, cells=0))
    write_movie(movie, tmp_path / "raw.nd2")
    own = {"method": "own"}
    content = {"datasets": {"a": {"path": "raw.nd2"}}}
    config = {
        **content,
        **dict.fromkeys(("segment", "correct", "track"), own),
        "extract": {"features": {"fl": ["intensity_total", "bright"]}},
        "samples": [{"name": "x", "fovs": "all"}],
        "fit": {"model": "line", "features": ["intensity_total"]},
    }

    def wanted(config: object) -> dict[str, object]:
        pipeline = Pipeline(config)
        jobs = [*pipeline.jobs("a", 0), *pipeline.analysis.jobs()]
        return {job.step.rpartition("/")[2].partition("_")[0]: job.wanted for job in jobs}

    builtin, before = wanted(content), wanted(config)
    kernels = tmp_path / "lab/kernels.py"
    kernels.write_text(kernels.read_text() + "1\n")
    after = wanted(config)
    changed = {step for step in before if before[step] != after[step]}
    assert changed == {"segment", "correct", "track", "extract"}
    parts = tmp_path / "lab/parts.py"
    parts.write_text(parts.read_text() + "1\n")
    again = wanted(config)
    assert {step for step in after if after[step] != again[step]} == {*changed, "fit"}
    assert wanted(content) == builtin
    told = Pipeline(config).parameters("segment", "a")["content"]
    assert [*told] == ["the plug-in lab.kernels", "the plug-in lab.parts"]
