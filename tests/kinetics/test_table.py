import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import fovflow
from fovflow.errors import ConfigError, FovflowError
from kinetics.simulated import cells


def tidy(t, y, fov=0):
    count, points = y.shape
    return pd.DataFrame(
        {
            "time": np.tile(t, count),
            "fov": fov,
            "cell": np.repeat(np.arange(1, count + 1), points),
            "value": y.ravel(),
        }
    )


def test_one_row_for_each_cell_with_values_intervals_and_verdict():
    t, y, theta = cells("trivial", 4, 0.02, beta=0.04)
    other = t[:-20] + 0.07
    moved = fovflow.kinetics.MODELS["trivial"].evaluate(other, theta)
    table = pd.concat([tidy(60 * t, y, 3), tidy(60 * other, moved, 1)]).drop(index=[5, 9])
    table = table.sample(frac=1, random_state=0).sort_values("time", kind="stable")
    fitted = fovflow.fit_traces(table, "trivial", unit="min", fixed={"beta": 0.04}, threads=1)
    assert fitted[["fov", "cell"]].to_numpy().tolist() == [
        [fov, cell] for fov in (1, 3) for cell in (1, 2, 3, 4)
    ]
    assert list(fitted)[:12] == [
        "fov", "cell", "model_type", "success", "r_squared",
        "t0", "ktl", "delta", "beta", "offset", "sum", "product",
    ]  # fmt: skip
    assert list(fitted)[-4:] == ["aic", "bic", "n_points", "verdict"]
    assert {"t0_se", "ktl_low", "delta_high"} <= set(fitted)
    assert set(fitted.verdict) == {"ok"}
    assert fitted.success.dtype == bool
    np.testing.assert_allclose(fitted.delta, np.tile(theta[:, 2], 2), rtol=0.1)
    assert (fitted.beta == 0.04).all()
    assert fitted.n_points.tolist() == [158, 160, 160, 160, 178, 180, 180, 180]


def test_an_empty_table_gives_an_empty_one():
    fitted = fovflow.fit_traces(tidy(np.arange(3.0), np.empty((0, 3))), "decay")
    assert len(fitted) == 0
    assert "beta_low" in fitted


def test_wrong_tables_are_refused():
    t, y, _ = cells("trivial", 2, 0.02)
    table = tidy(t, y)
    with pytest.raises(FovflowError, match="lacks value; found: time, fov, cell"):
        fovflow.fit_traces(table.drop(columns="value"))
    with pytest.raises(FovflowError, match="times of cell 2 of FOV 0 do not ascend"):
        fovflow.fit_traces(table.iloc[[*range(200), 190, *range(200, 360)]])
    with pytest.raises(FovflowError, match="no unit of time 'd'"):
        fovflow.fit_traces(table, unit="d")


def test_importing_the_package_loads_neither_pandas_nor_the_kernel():
    heavy = {"pandas", "scipy", "numpy", "fovflow.kinetics"}
    code = f"import sys, fovflow; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["settings", "loss", "noise", "scale"])
def test_settings_that_there_are_not_are_refused(name):
    table = pd.DataFrame({"time": range(20), "fov": 0, "cell": 1, "value": range(20)})
    with pytest.raises(ConfigError, match=f"there is no {name} 'Classic'; to do: use "):
        fovflow.fit_traces(table, "decay", **{name: "Classic"})
