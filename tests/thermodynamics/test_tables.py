"""Tables of landscapes: merged columns, and temperatures that nobody named."""

import math

import numpy as np
import pytest
from scipy.special import gammaln

from phasegrok.groups import Group
from phasegrok.thermodynamics import tables


def test_merged_columns_add_their_states():
    log_g = np.log(np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]))
    log_g[0, 1] = np.nan
    log_g[1, 2:4] = np.nan
    group = Group(attributes={"complete": True})
    group.add("energy", [0.0, 1.0], "energy")
    group.add("order_parameter", [-1.0, -0.5, 0.0, 0.5, 1.0], "order_parameter")
    group.add("walker", [0, 1], "walker")
    group.add("log_g", log_g, ("energy", "order_parameter"))
    group.add("log_g_jackknife", np.stack([log_g, log_g + 1.0]),
              ("walker", "energy", "order_parameter"))
    pairs = tables.merge_columns(group, 2)
    assert pairs["order_parameter"] == pytest.approx([-0.75, 0.25, 1.0])
    expected = np.array([[1.0, 7.0, 5.0], [13.0, np.nan, 10.0]])
    assert np.exp(pairs["log_g"]) == pytest.approx(expected, nan_ok=True)
    assert np.exp(pairs["log_g_jackknife"][1]) == pytest.approx(math.e * expected, nan_ok=True)
    assert pairs.attributes["complete"]
    whole = np.exp(pairs["log_g"][np.isfinite(pairs["log_g"])]).sum()
    assert whole == pytest.approx(np.nansum(np.exp(log_g)))


def test_temperatures_where_nobody_named_any():
    """N free spins in a field: E/N = -h tanh(h/T), 1 % and 80 % of the way at known T."""
    N, h = 40, 0.7
    group = Group(attributes={"complete": True})
    k = np.arange(N + 1)
    group.add("energy", -h * (N - 2.0 * k), "energy")
    group.add("log_g", gammaln(N + 1) - gammaln(k + 1) - gammaln(N - k + 1), "energy")
    group.add("log_g_jackknife", group["log_g"][None], ("walker", "energy"))
    T = tables.temperatures_of(group)
    assert T[0] == pytest.approx(h / math.atanh(0.99), rel=0.05)  # two digits
    assert T[-1] == pytest.approx(h / math.atanh(0.2), rel=0.05)
    assert len(T) == 41 and np.all(np.diff(T) > 0.0)
