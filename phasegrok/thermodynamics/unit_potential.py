"""Effective potential of one unit (neuron) from histograms of chains, and how far they agree."""

import numpy as np

from phasegrok.runfile import Group
from phasegrok.statistics import jackknife_error, mean_with_error, r_hat

_FEWEST = 20  # counts in a bin, over all chains, of which a potential is given
_PARTS = 4  # stretches of a chain whose scatter gives the error
_UNITS = {"train_loss": "mean squared error", "test_loss": "mean squared error"}
_LONG = {
    "train_loss": "train loss", "test_loss": "test loss",
    "residual_1": "y - f on He_1", "residual_3": "y - f on He_3",
    "outer_layer": "N <a^2> / sigma_a^2",
}


def chains_group(x_rts: np.ndarray, names, aligned_r: np.ndarray, every: int,
                 attributes: dict) -> Group:
    """Means of the series of chains, with autocorrelation times and agreement of the starts.

    Parameters
    ----------
    x_rts : ndarray, shape (R, K, S)
        Records of R chains.
    names : sequence of str
        Of the S observables.
    aligned_r : ndarray of bool, shape (R,)
        Chains that were begun aligned.
    every : int
        Steps between records.
    attributes : dict
        Settings and checks of the dynamics, kept as they are.
    """
    group = Group(attributes=dict(attributes))
    group.add("observable", np.arange(len(names)), "observable", "1", ", ".join(names))
    estimates = [mean_with_error(x_rts[:, :, s]) for s in range(len(names))]
    for name, e in zip(names, estimates):
        unit, text = _UNITS.get(name, "1"), _LONG.get(name, name)
        group.add(name, e.value, (), unit, text)
        group.add(f"{name}_err", e.error, (), unit, f"error of {text}, Gamma method")
    group.add("autocorrelation_time", every * np.array([e.tau for e in estimates]), "observable",
              "steps", "integrated autocorrelation time")
    group.add("r_hat", np.array([r_hat(x_rts[:, :, s]) for s in range(len(names))]), "observable",
              "1", "scatter between chains over that within")
    return group


def _stretches(x_rb: np.ndarray) -> np.ndarray:
    """Sums over ``_PARTS`` equal stretches of every chain, shape (R parts, bins)."""
    r, blocks, bins = x_rb.shape
    parts = min(_PARTS, blocks)
    used = blocks // parts * parts
    return x_rb[:, :used].reshape(r, parts, -1, bins).sum(axis=2).reshape(-1, bins)


def _pairs(x: np.ndarray) -> np.ndarray:
    return x[..., :-1].reshape(*x.shape[:-1], -1, 2).sum(axis=-1)


def potential_group(counts_rb: np.ndarray, sums_rb: np.ndarray, largest: float,
                    aligned_r: np.ndarray, unit_name: str) -> Group:
    """-ln P(Phi) of one unit with errors, and the mean of its second number at fixed Phi.

    P is the density on the real axis, even in Phi, taken from |Phi|.  Errors are the jackknife over
    four stretches of every chain.

    Parameters
    ----------
    counts_rb, sums_rb : ndarray, shape (R, B, bins + 1)
        Histograms of |Phi| of R chains in B blocks, and sums of the second number; the last bin
        holds what lies beyond ``largest``.
    largest : float
        Upper end of the histogram.
    aligned_r : ndarray of bool, shape (R,)
        Chains that were begun aligned: their difference from the others is stored.
    unit_name : str
        Name of the second number.
    """
    n_bins = counts_rb.shape[2] - 1
    width = largest / n_bins
    counts, sums = _stretches(counts_rb), _stretches(sums_rb)
    total = counts.sum(axis=0)
    leave = np.concatenate([total[None], total - counts])
    norm = 2.0 * width * leave.sum(axis=1, keepdims=True)
    few = total[:n_bins] < _FEWEST
    with np.errstate(divide="ignore", invalid="ignore"):
        potential = -np.log(leave[:, :n_bins] / norm)
        mean = np.concatenate([sums.sum(axis=0)[None], sums.sum(axis=0) - sums])[:, :n_bins]
        mean = mean / leave[:, :n_bins]
    potential[:, few], mean[:, few] = np.nan, np.nan
    group = Group(attributes={
        "per": "neuron", "outside": float(total[n_bins] / total.sum()),
        "convergence": _agreement(counts_rb, aligned_r)})
    phi = (np.arange(n_bins) + 0.5) * width
    group.add("order_parameter", phi, "order_parameter", "1", "|Phi| of a neuron")
    with np.errstate(invalid="ignore"):
        errors = [jackknife_error(x[1:]) for x in (potential, mean)]
    group.add("potential", potential[0], "order_parameter", "nat", "-ln P(Phi) of one neuron")
    group.add("potential_err", errors[0], "order_parameter", "nat", "error, jackknife over chains")
    group.add(f"{unit_name}_mean", mean[0], "order_parameter", "1", f"<{unit_name}> at fixed Phi")
    group.add(f"{unit_name}_mean_err", errors[1], "order_parameter", "1", "error, jackknife")
    return group


def _agreement(counts_rb: np.ndarray, aligned_r: np.ndarray) -> str:
    """Whether chains of both starts have the same mean |Phi|, in one sentence."""
    bins = np.arange(counts_rb.shape[2]) + 0.5
    mean_r = (counts_rb.sum(axis=1) @ bins) / counts_rb.sum(axis=(1, 2))
    groups = [mean_r[~aligned_r], mean_r[aligned_r]]
    if min(len(g) for g in groups) < 2:
        return "not known: two chains of each start are needed"
    error = np.sqrt(sum(np.var(g, ddof=1) / len(g) for g in groups))
    z = float((groups[1].mean() - groups[0].mean()) / error)
    said = "agree" if abs(z) < 3.0 else "DISAGREE: run longer"
    return f"chains begun from the prior and aligned {said} (<|Phi|> differs by {z:.1f} sigma)"
