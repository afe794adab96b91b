import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from fovflow.tracking.assignment import assign, margins, solve

tables = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 8).map(lambda k: k / 8))
)


def best_total(weight):
    """Try every assignment."""

    def total(i, used):
        if i == len(weight):
            return 0.0
        choices = [total(i + 1, used)]
        for j in np.flatnonzero(weight[i]):
            if j not in used:
                choices.append(weight[i, j] + total(i + 1, used | {j}))
        return max(choices)

    return total(0, frozenset())


@given(tables)
def test_the_best_total_and_the_loss_without_each_link(weight):
    i, j = np.nonzero(weight)
    chosen, margin = assign(i, j, weight[i, j])
    assert len(set(i[chosen])) == len(set(j[chosen])) == np.count_nonzero(chosen)
    best = best_total(weight)
    assert weight[i, j][chosen].sum() == pytest.approx(best)
    assert np.isnan(margin[~chosen]).all()
    for k in np.flatnonzero(chosen):
        without = weight.copy()
        without[i[k], j[k]] = 0
        assert margin[k] == pytest.approx(best - best_total(without))


@given(tables, st.randoms())
def test_the_order_of_the_candidates_does_not_matter(weight, random):
    i, j = np.nonzero(weight)
    order = np.array(random.sample(range(i.size), i.size), np.int64)
    chosen, margin = assign(i, j, weight[i, j])
    again, margin_again = assign(i[order], j[order], weight[i, j][order])
    np.testing.assert_array_equal(again, chosen[order])
    np.testing.assert_array_equal(margin_again, margin[order])


@pytest.mark.parametrize("shape", [(60, 60), (30, 45), (45, 30)])
def test_large_dense_problems_agree_with_scipy(shape):
    weight = np.random.default_rng(4).random(shape)
    partner = solve(weight)
    rows, columns = linear_sum_assignment(-weight)
    linked = partner >= 0
    np.testing.assert_array_equal(np.flatnonzero(linked), rows)
    np.testing.assert_array_equal(partner[linked], columns)
    loss = margins(weight, partner)
    k = int(rows[7])
    without = weight.copy()
    without[k, partner[k]] = 0
    a, b = linear_sum_assignment(-without)
    assert loss[k] == pytest.approx(weight[rows, columns].sum() - without[a, b].sum())


def test_a_lone_link_has_its_weight_as_margin_and_a_tie_has_none():
    chosen, margin = assign(np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([0.7, 0.5, 0.5]))
    assert chosen.tolist() == [True, True, False]
    assert margin[:2].tolist() == [0.7, 0.0]


def test_no_candidates():
    none = np.zeros(0, np.int64)
    chosen, margin = assign(none, none, np.zeros(0))
    assert chosen.size == margin.size == 0


def test_rows_without_a_candidate_have_no_partner():
    assert solve(np.array([[0.0, 0.0], [0.5, 0.0]])).tolist() == [-1, 0]
    assert solve(np.array([[0.0], [0.5], [0.2]])).tolist() == [-1, 0, -1]
