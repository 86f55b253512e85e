"""Train and test loss of two-layer networks against the number of patterns and against time."""

import dataclasses
import math
from itertools import pairwise

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import MemorisationGap
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.statistics import mean_and_error
from phasegrok.studies.chains import TheoryOfUnit, add_theories, cubic_theory
from phasegrok.studies.common import known_kind

_STARTS = ("prior", "aligned")
_LOSSES = ("train_loss", "test_loss")
_PER_OCTAVE = 4  # points of the time course
_SETTLED = 0.1  # relative distance from its final value at which a loss has settled
_KNOWN = 0.1  # nat: errors below which potentials are compared


def settings(card: Card) -> MemorisationGap:
    """The card's [memorisation_gap].

    Raises
    ------
    InputError
        If it has none, or is no two-layer network with a cubic teacher on drawn patterns.
    """
    s = card.model.memorisation_gap
    if (s is None or card.model.langevin is None or known_kind(card) != "two-layer-cubic"
            or card.parameters.inputs != "drawn"):
        raise InputError(f"{card.name}: the gap between memorising and generalising needs a card "
                         "of kind two-layer-cubic with inputs = drawn, [memorisation_gap] and "
                         "[langevin]")
    if s.steps <= s.equilibration:
        raise InputError(f"{card.name}: memorisation_gap.steps = {s.steps} leaves nothing beyond "
                         f"the equilibration {s.equilibration}")
    return s


def points(card: Card) -> list[tuple[str, Card]]:
    """Name and card of every data set, n by n."""
    s = settings(card)
    result = []
    for n in s.patterns:
        at = card.changed({"parameters.n": n, "parameters.sigma2": s.kappa * n})
        result += [(f"n={n},sample={k + 1}", dataclasses.replace(at, arrays=arrays))
                   for k, arrays in enumerate(at.samples(s.samples))]
    return result


def measure(job) -> None:
    """One data set: chains from both starts, their averages and their course in time."""
    from phasegrok.dynamics.langevin import PER_BLOCK
    from phasegrok.protocols.chains import Langevin
    from phasegrok.thermodynamics.unit_potential import chains_group, potential_group

    s, how = settings(job.card), job.card.model.langevin
    blocks = s.steps // how.every // PER_BLOCK
    first = s.equilibration // how.every // PER_BLOCK
    if blocks - first < 4:
        raise InputError(f"{job.card.name}: memorisation_gap.steps: give "
                         f"{s.equilibration + 5 * PER_BLOCK * how.every} or more")
    protocol = Langevin(job.card.build(), how.integrator, how.step, how.friction, s.chains,
                        s.steps, 0, how.every, how.aligned, how.largest)
    state = job.drive(protocol, job.path.stem)
    if (state.broken >= 0).any():
        raise InputError(f"{job.card.name}: a chain did not stay finite: the step is too long, "
                         f"take half: --set langevin.step={how.step / 2.0:g}")
    aligned = np.arange(s.chains) >= (s.chains + 1) // 2
    records = slice(first * PER_BLOCK, blocks * PER_BLOCK)
    checks = protocol.result(state)["chains"].attributes
    names = protocol.system.series_names
    potential = potential_group(state.counts[:, first:blocks], state.sums[:, first:blocks],
                                how.largest, aligned, protocol.system.unit_name,
                                protocol.system.n_units)
    potential.add("count", state.counts[:, first:blocks, :-1].sum(axis=(0, 1)), "order_parameter",
                  "1", "neurons counted, over records and chains")
    potential.add("outside", state.counts[:, first:blocks, -1].sum(), (), "1",
                  "neurons beyond the histogram")
    potential.add("second_sum", state.sums[:, first:blocks, :-1].sum(axis=(0, 1)),
                  "order_parameter", "1", "sum of s over them")
    job.finish({"chains": chains_group(state.series[:, records], names, how.every, checks),
                "effective_potential": potential,
                "course": course(state.series, names, aligned, how.every * how.step)})


def course(series_rts: np.ndarray, names, aligned_r: np.ndarray, interval: float) -> Group:
    """Means of the series of both starts in bins of logarithmic time."""
    n = series_rts.shape[1]
    edges = np.unique(np.concatenate([
        [0], np.round(2.0 ** np.arange(0.0, math.log2(n) + 1e-9, 1.0 / _PER_OCTAVE)),
        [n]]).astype(int))
    bins = list(pairwise(edges))
    group = Group()
    group.add("time", np.array([interval * 0.5 * (a + 1 + b) for a, b in bins]), "time", "1",
              "middle of the bin; the prior relaxes in a time of one")
    group.add("start", np.array(_STARTS), "start", "1", "of the chains")
    for s, name in enumerate(names):
        rows = [[series_rts[chosen, a:b, s].mean() for a, b in bins]
                for chosen in (~aligned_r, aligned_r)]
        group.add(name, np.array(rows), ("start", "time"), "1", f"{name}, mean over the chains")
    return group


def settling_time(time_t: np.ndarray, loss_t: np.ndarray) -> float:
    """Time from which a loss stays within 10 % of its final value, the mean of its last quarter.

    In bins of logarithmic time, so to a tenth of an octave or two.
    """
    final = loss_t[time_t > 0.75 * time_t[-1]].mean()
    far = np.flatnonzero(np.abs(loss_t / final - 1.0) > _SETTLED)
    return float(time_t[0] if len(far) == 0 else time_t[min(far[-1] + 1, len(time_t) - 1)])


def groups(card: Card, runs: list) -> dict[str, Group]:
    """Group ``memorisation_gap``: losses, potentials and courses at every n, over data sets.

    Parameters
    ----------
    card : Card
        Of the scan.
    runs : list of RunFile
        In the order of :func:`points`.
    """
    s = settings(card)
    by_n = [runs[k * s.samples : (k + 1) * s.samples] for k in range(len(s.patterns))]
    group = Group(attributes={"kappa": s.kappa, "samples": s.samples})
    group.add("patterns", np.array(s.patterns), "patterns", "1", "number of patterns n")
    chains = [[run["chains"] for run in row] for row in by_n]
    for name in (*_LOSSES, "residual_1", "residual_3"):
        first = chains[0][0].variables[name]
        _add_means(group, name, [[float(g[name]) for g in row] for row in chains], first.units,
                   first.long_name)
    _add_means(group, "ratio", [[float(g["train_loss"] / g["test_loss"]) for g in row]
                                for row in chains], "1", "train loss / test loss")
    group.add("r_hat", np.array([max(float(np.nanmax(g["r_hat"])) for g in row) for row in chains]),
              "patterns", "1", "largest R-hat of an observable, of any data set")
    _add_courses(group, by_n)
    theory = [cubic_theory(card.parameters, s.kappa, n) for n in s.patterns]
    add_potentials(group, by_n, theory, card.parameters.N)
    return {"memorisation_gap": group}


def _add_means(group: Group, name: str, rows, unit: str, text: str) -> None:
    mean, error = mean_and_error(np.array(rows), axis=1)
    group.add(name, mean, "patterns", unit, f"{text}, mean over data sets")
    group.add(f"{name}_err", error, "patterns", unit, f"error of {text}, over data sets")


def _add_courses(group: Group, by_n) -> None:
    """Losses against time, and when they settle in chains from the prior, over data sets."""
    first = by_n[0][0]["course"]
    time = first["time"]
    group.add("time", time, "time", "1", first.variables["time"].long_name)
    group.add("start", np.array(_STARTS), "start", "1", "of the chains")
    dims = ("patterns", "start", "time")
    for name in (*_LOSSES, "residual_3"):
        mean, error = mean_and_error(
            np.array([[run["course"][name] for run in row] for row in by_n]), axis=1)
        group.add(f"{name}_course", mean, dims, "1", f"{name}, mean over data sets")
        group.add(f"{name}_course_err", error, dims, "1", f"error of {name}, over data sets")
    for name in _LOSSES:
        rows = [[settling_time(time, run["course"][name][0]) for run in row] for row in by_n]
        _add_means(group, f"{name}_settled", np.log(rows), "1",
                   f"ln of the time at which {name} settles, from the prior")


def add_potentials(group: Group, by_n, theory: list[TheoryOfUnit], neurons: int) -> None:
    """-ln P(Phi) over all data sets of every n, its distance from that of the largest n."""
    from phasegrok.thermodynamics.unit_potential import potential_group

    found = []
    for row, expected in zip(by_n, theory):
        g = [run["effective_potential"] for run in row]
        outside = np.array([[float(x["outside"])] for x in g])
        counts = np.concatenate([np.array([x["count"] for x in g]), outside], axis=1)
        sums = np.concatenate([np.array([x["second_sum"] for x in g]), 0.0 * outside], axis=1)
        phi = g[0]["order_parameter"]
        one = potential_group(counts[:, None], sums[:, None], float(phi[-1] + phi[0]),
                              np.zeros(len(g), bool), "s", neurons)
        add_theories(one, [expected])
        found.append(one)
    group.add("order_parameter", found[0]["order_parameter"], "order_parameter", "1",
              "|Phi| of a neuron")
    dims = ("patterns", "order_parameter")
    for name, text in (("potential", "-ln P(Phi) of one neuron"),
                       ("potential_err", "error, jackknife over data sets"),
                       ("s_mean", "<s> at fixed Phi"), ("s_mean_err", "error over data sets")):
        group.add(name, np.array([g[name] for g in found]), dims,
                  "1" if name.startswith("s_") else "nat", text)
    group.add("potential_theory", np.array([g["potential_theory"][0] for g in found]), dims, "nat",
              "-ln P(Phi), cavity theory at this n")
    for name in ("droplets", "droplets_err"):
        first = found[0].variables[name]
        group.add(name, np.array([float(g[name]) for g in found]), "patterns", first.units,
                  first.long_name)
    group.add("droplets_theory", np.array([t.droplets for t in theory]), "patterns", "units",
              "N p, cavity theory")
    V, error = group["potential"], group["potential_err"]
    rms = []
    for k in range(len(V)):
        use = (error[k] < _KNOWN) & (error[-1] < _KNOWN) & np.isfinite(V[k] + V[-1])
        rms.append(math.sqrt(float(np.mean((V[k] - V[-1])[use] ** 2))) if use.any() else math.nan)
    group.add("distance", np.array(rms), "patterns", "nat",
              "rms of -ln P(Phi) from that of the largest n, where errors are below 0.1 nat")
