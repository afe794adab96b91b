import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovflow.errors import ConfigError
from fovflow.kinetics import MODELS, Model, Parameter, fit_cells, get_model
from fovflow.kinetics.exponentials import two_rates

TIMES = np.linspace(0, 30, 31)
DIGITS = 150


def exact(name, t, given):
    """The formula, word for word, with 60 digits."""
    e = mpmath.exp
    p = {key: mpmath.mpf(value) for key, value in given.items()}
    dt = mpmath.mpf(t) - p.get("t0", 0)
    if dt < 0:
        return p["offset"]
    if "delta" in p:  # the formula has no value where rates are equal
        p["delta"] *= 1 + mpmath.mpf(10) ** -22
    b, d, km, ktl = (p.get(key, mpmath.mpf(0)) for key in ("beta", "delta", "km", "ktl"))
    curves = {
        "trivial": lambda: ktl / (d - b) * (1 - e(-(d - b) * dt)) * e(-b * dt),
        "maturation": lambda: (
            ktl
            * (
                e(-(b + km) * dt) / (b - d + km)
                - e(-b * dt) / (b - d)
                + km * e(-d * dt) / ((b - d) * (b - d + km))
            )
        ),
        "maturation_blocked": lambda: (
            p["G0"] * e(-b * dt) + p["Gu0"] * (e(-b * dt) - e(-(b + km) * dt))
        ),
        "expression_delay": lambda: ktl / b * (1 - e(-b * dt)),
        "exponential": lambda: p["G0"] * e(p["mu"] * t),
        "logistic": lambda: p["capacity"] / (1 + e(-p["mu"] * (t - p["t_half"]))),
        "decay": lambda: p["G0"] * e(-b * t),
    }
    return p["offset"] + curves[name]()


@st.composite
def parameters(draw, name):
    """Values within the bounds; in a third of the cases rates that nearly meet."""
    found = {"offset": 0.0, "t0": 0.2, "t_half": 10.0}
    for each in MODELS[name].parameters:
        if each.log:
            top = min(each.high, 0.3) if name == "exponential" else each.high
            found[each.name] = float(np.exp(draw(st.floats(np.log(each.low), np.log(top)))))
        elif each.linear and each.name != "offset":
            found[each.name] = draw(st.floats(1, 1e4))
    apart = 1 + 10 ** -draw(st.floats(0.1, 15))
    meeting = draw(st.sampled_from(["no", "beta", "beta + km"]))
    if name == "trivial" and meeting != "no":
        found["delta"] = found["beta"] * apart
    if name == "maturation" and meeting != "no":
        found["delta"] = (found["beta"] + found["km"] * (meeting == "beta + km")) * apart
    return [found[each] for each in MODELS[name].names]


@pytest.mark.parametrize("name", MODELS)
def test_curve_and_slopes_are_those_of_the_formula(name):
    model = MODELS[name]

    @settings(max_examples=25, deadline=None)
    @given(parameters(name))
    def holds(theta):
        row = np.array(theta)
        with mpmath.workdps(DIGITS):
            named = dict(zip(model.names, theta, strict=True))
            right = np.array([float(exact(name, t, named)) for t in TIMES])
            curve = model.evaluate(TIMES, row)[0]
            np.testing.assert_allclose(curve, right, rtol=1e-11, atol=1e-290)
            _, slopes = model.slopes(TIMES[None], row[None, model.nonlinear])
            for k, i in enumerate(model.nonlinear):
                h = mpmath.mpf(10) ** -25 * mpmath.mpf(theta[i] or 1)
                ends = []
                for sign in (1, -1):
                    moved = {key: mpmath.mpf(value) for key, value in named.items()}
                    moved[model.names[i]] += sign * h
                    ends.append([exact(name, t, moved) for t in TIMES])
                right = np.array([float((u - v) / (2 * h)) for u, v in zip(*ends, strict=True)])
                slope = sum(
                    theta[j] * (row[k][0] if row[k] is not None else 0.0)
                    for j, row in zip(model.linear, slopes, strict=True)
                )
                near = 1e-9 * np.abs(right).max() + 1e-13 * np.abs(curve).max()
                assert np.abs(slope - right).max() <= near

    holds()


def test_limits_where_rates_meet_or_vanish():
    t = np.array([0.0, 1.0, 5.0, 30.0])
    same = MODELS["trivial"].evaluate(t, np.array([0, 2, 0.1, 0.1, 0]))[0]
    np.testing.assert_allclose(same, 2 * t * np.exp(-0.1 * t), rtol=1e-13)
    none = MODELS["trivial"].evaluate(t, np.array([0, 2, 0.1, 1e-300, 0]))[0]
    np.testing.assert_allclose(none, 2 * (1 - np.exp(-0.1 * t)) / 0.1, rtol=1e-13)
    names = MODELS["maturation"].names
    at = {"t0": 0, "ktl": 2, "km": 1e-9, "delta": 0.1, "beta": 0.1, "offset": 0}
    slow = MODELS["maturation"].evaluate(t, np.array([at[name] for name in names]))[0]
    np.testing.assert_allclose(slow, 2e-9 * t**2 / 2 * np.exp(-0.1 * t), rtol=1e-7)


def test_two_rates_are_symmetric_and_smooth_where_they_meet():
    t = np.linspace(0, 40, 200)[None]
    for apart in 10.0 ** -np.arange(1, 17):
        a, b = np.array([[0.3]]), np.array([[0.3 + apart]])
        value, by_a, by_b, by_t = two_rates(t, a, b)
        again, other_b, other_a, other_t = two_rates(t, b, a)
        for one, two in ((value, again), (by_a, other_a), (by_b, other_b), (by_t, other_t)):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


def test_exchanged_parameters_give_the_same_curve():
    rng = np.random.default_rng(0)
    for name in ("trivial", "maturation"):
        model = MODELS[name]
        theta = np.exp(rng.uniform(-3, 1, (20, len(model.names))))
        assert model.exchanged is not None
        for other in model.exchanged(theta):
            own, swapped = model.evaluate(TIMES, theta), model.evaluate(TIMES, other)
            possible = (other[:, model.names.index("beta")] > 0) & (np.abs(other) < 1e6).all(1)
            assert possible.any()
            np.testing.assert_allclose(own[possible], swapped[possible], rtol=1e-8)


def test_starts_and_bounds_are_those_of_the_definition():
    table = {
        name: {p.name: (p.start, p.low, p.high) for p in MODELS[name].parameters}
        for name in ("trivial", "maturation", "maturation_blocked")
    }
    offset = {"offset": (0, -1e6, 1e6)}
    assert table == {
        "trivial": {
            "t0": (2, 0, 30), "ktl": (20, 1, 1e6), "delta": (0.07, 1e-5, 10.1),
            "beta": (0.0436275356035, 1e-5, 10), **offset,
        },
        "maturation": {
            "t0": (0, 0, 1), "ktl": (1e3, 1, 5e8), "km": (1.28, 1e-5, 30),
            "delta": (0.01, 1e-5, 11), "beta": (5.22e-3, 1e-5, 10), **offset,
        },
        "maturation_blocked": {
            "t0": (0, 0, 1), "G0": (100, 0, 1e6), "Gu0": (100, 0, 1e6), "km": (1.28, 1e-5, 30),
            "beta": (5.22e-3, 1e-5, 10), **offset,
        },
    }  # fmt: skip


def gaussian(t, theta):
    return [np.exp(-((t - theta[:, :1]) ** 2))], None


def test_a_model_of_ones_own_needs_no_slopes():
    bump = Model(
        "bump",
        "height·exp(−(t − middle)²)",
        (
            Parameter("middle", "h", 5.0, 0.0, 10.0),
            Parameter("height", "a.u.", 1.0, 0.0, 100.0, linear=True),
        ),
        gaussian,
    )
    t = np.linspace(0, 10, 101)
    fits = fit_cells(t, 7 * np.exp(-((t - 3.3) ** 2)), bump)
    assert fits.value["middle"][0] == pytest.approx(3.3, abs=1e-6)
    assert fits.value["height"][0] == pytest.approx(7, rel=1e-6)
    assert get_model(bump) is bump


def two_decays(t, theta):
    return [np.exp(-theta[:, :1] * t), np.exp(-theta[:, 1:] * t)], None


def test_rates_of_any_name_may_be_exchangeable():
    parts = [
        *(
            Parameter(name, "1/h", start, 1e-3, 5.0, log=True)
            for name, start in (("a", 1), ("b", 0.1))
        ),
        *(Parameter(name, "a.u.", 1.0, 0.0, 1e6, linear=True) for name in ("A", "B")),
    ]
    model = Model(
        "two decays",
        "A·exp(−a·t) + B·exp(−b·t)",
        tuple(parts),
        two_decays,
        exponents=lambda theta: theta,
        exchanged=lambda theta: [theta[:, [1, 0, 3, 2]]],
    )
    t = np.linspace(0, 20, 120)
    y = 100 * np.exp(-0.9 * t) + 50 * np.exp(-0.05 * t) + np.random.default_rng(0).normal(size=120)
    fits = fit_cells(t, y, model)
    assert "rates exchangeable" in fits.verdict[0]
    assert np.isnan(fits.value["a"][0])
    assert fits.value["sum"][0] == pytest.approx(0.95, rel=0.1)
    assert fits.low["sum"][0] < 0.95 < fits.high["sum"][0]


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no 'trivia' among the models; found: .*maturation"):
        get_model("trivia")
