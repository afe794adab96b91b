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
