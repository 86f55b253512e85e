"""Nucleation of specialised neurons: first passages and barriers against the input dimension."""

import math

import numpy as np
from scipy import stats

from phasegrok.accounts.verdict import LAG_MAX, P_MIN
from phasegrok.cards.card import Card
from phasegrok.cards.sections import Nucleation
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.chains import cubic_model
from phasegrok.studies.common import known_kind
from phasegrok.studies.waiting_times import add_waiting_statistics

_PREPARED = 0.75  # of the wall: in the state that is cloned no neuron is on its way over the top


def settings(card: Card) -> Nucleation:
    """The card's [nucleation].

    Raises
    ------
    InputError
        If it has none, is no two-layer network with a cubic teacher, or its dynamics has no wall.
    """
    s = card.model.nucleation
    if s is None or card.model.langevin is None or known_kind(card) != "two-layer-cubic":
        raise InputError(f"{card.name}: nucleation against d needs a card of kind two-layer-cubic "
                         "with [nucleation] and [langevin]")
    if card.model.langevin.integrator != "ghmc":
        raise InputError(f"{card.name}: chains below a wall need langevin.integrator = ghmc")
    if not s.wall < s.threshold:
        raise InputError(f"{card.name}: nucleation.wall = {s.wall:g} must lie below the threshold "
                         f"{s.threshold:g}")
    return s


def points(card: Card, what: str) -> list[tuple[str, Card]]:
    """Name and card of every d; ``what`` is "chains" or "clones"."""
    p = card.parameters
    return [(f"d={d},{what}", card.changed({"parameters.d": d,
                                            "parameters.sigma_a2": p.sigma_a2 * d / p.d}))
            for d in settings(card).sizes]


def measure_chains(job) -> None:
    """One d: chains below the wall, and the top of the barrier that they see."""
    from phasegrok.dynamics.langevin import PER_BLOCK
    from phasegrok.protocols.chains import Langevin
    from phasegrok.thermodynamics.unit_potential import Top, top_below

    s, how = settings(job.card), job.card.model.langevin
    if (s.steps - s.equilibration) // how.every < PER_BLOCK:
        raise InputError(f"{job.card.name}: {s.steps} steps are too few records: give a larger "
                         "nucleation.steps")
    protocol = Langevin(job.card.build(), how.integrator, how.step, how.friction, how.chains,
                        s.steps, s.equilibration, how.every, None, how.largest, s.wall)
    state = job.drive(protocol, job.path.stem)
    groups = protocol.result(state)
    if "effective_potential" not in groups:
        raise InputError(f"{job.card.name}: no chain stayed finite: the step is too long, take "
                         f"half: --set langevin.step={how.step / 2.0:g}")
    group = groups["effective_potential"]
    top = estimated(groups, "top of the barrier", lambda: top_below(
        state.counts[state.broken < 0], how.largest, s.wall)) or Top(*[math.nan] * 5)
    for name, value, unit, text in (
            ("top", top.at, "1", "Phi of the top of the barrier"),
            ("top_barrier", top.barrier, "nat", "barrier from the centre, below the wall"),
            ("top_barrier_err", top.barrier_err, "nat", "its error, jackknife"),
            ("top_density", top.density, "1", "P(Phi) of a neuron at the top"),
            ("top_density_err", top.density_err, "1", "its error, jackknife")):
        group.add(name, value, (), unit, text)
    job.finish(groups)


def measure_clones(job) -> None:
    """One d: waiting times of clones of one unspecialised network."""
    from phasegrok.protocols.escape import Escape
    from phasegrok.relaxation.waiting_times import waiting_times

    s, how = settings(job.card), job.card.model.langevin
    protocol = Escape(job.card.build(), how.step, how.friction, _PREPARED * s.wall, s.threshold,
                      s.clones, s.limit, s.preparation)
    groups = protocol.result(job.drive(protocol, job.path.stem))
    group = groups["waiting_times"]
    waits = estimated(groups, "statistics of the waiting times",
                      lambda: waiting_times(group["time"], group["censored"], how.step))
    add_waiting_statistics(group, waits, "1")
    job.finish(groups)


def transition_state_time(density: float, width: float, neurons: int) -> float:
    r"""Mean first-passage time of transition-state theory, a lower bound, in units of time.

    The latent of a neuron's overlap, :math:`\xi = \Phi/w` with w its prior width, moves at a speed
    v ~ N(0, 1), so N neurons leave through both tops at the rate
    :math:`2N\,\langle v_+\rangle\, p(\xi) = 2N w P(\Phi)/\sqrt{2\pi}`.  Trajectories that turn back
    make the true time longer.
    """
    return math.sqrt(2.0 * math.pi) / (2.0 * neurons * width * density)


def groups(card: Card, chains: list, clones: list) -> dict[str, Group]:
    """Group ``nucleation``: barriers, waiting times and how they go together.

    Parameters
    ----------
    card : Card
        Of the scan.
    chains, clones : list of RunFile
        In the order of :func:`points`.
    """
    s = settings(card)
    d_k = np.array(s.sizes)
    group = Group(attributes={"wall": s.wall, "threshold": s.threshold, "clones": s.clones,
                              "least_p": P_MIN})
    group.add("size", d_k, "size", "1", "input dimension d")
    potentials = [run["effective_potential"] for run in chains]
    waits = [run["waiting_times"] for run in clones]
    barrier_k, barrier_err_k = _column(group, potentials, "top_barrier", "barrier")
    density_k, density_err_k = _column(group, potentials, "top_density", "density")
    tau_k, tau_err_k = _column(group, waits, "tau", "tau")
    lag_k, _, _ = (_column(group, waits, name, name)[0] for name in ("lag", "cv", "memoryless"))
    p_k = np.array([float(g["p_value"]) for g in waits])
    group.add("p_value", p_k, "size", "1", waits[0].variables["p_value"].long_name)
    exponential_k = (p_k > P_MIN) & (lag_k < LAG_MAX * tau_k)
    group.add("exponential", exponential_k, "size", "1", "whether waits are exponential after a "
              f"short lag (p > {P_MIN:g}, lag < {LAG_MAX:g} tau): other d enter no line of ln tau")
    group.add("censored", np.array([float(np.mean(g["censored"])) for g in waits]), "size", "1",
              "fraction of clones whose event was not seen")
    group.add("clone", np.arange(s.clones), "clone", "1", "clone of the network")
    group.add("time", np.array([g["time"] for g in waits]), ("size", "clone"), "1",
              waits[0].variables["time"].long_name)
    group.add("top", np.array([float(g["top"]) for g in potentials]), "size", "1",
              "Phi of the top, from chains")
    p = card.parameters
    bound_k = np.array([transition_state_time(density, math.sqrt(p.sigma_w2 / d), p.N)
                        for d, density in zip(d_k, density_k)])
    group.add("bound", bound_k, "size", "1", "transition-state theory, from P(Phi) at the top")
    group.add("transmission", bound_k / tau_k, "size", "1", "that time / tau: 1 if none turns back")
    group.add("transmission_err",
              bound_k / tau_k * np.hypot(tau_err_k / tau_k, density_err_k / density_k), "size",
              "1", "its error")
    theory_k = np.array([_theory(point, s.wall) for _, point in points(card, "chains")])
    group.add("barrier_theory", theory_k, "size", "nat",
              "cavity theory of a network below the wall")
    log_tau_k = np.where(exponential_k, np.log(tau_k), math.nan)
    d_k, exact_k = d_k.astype(float), np.zeros(len(d_k))
    for name, text, line in (
            ("slope", "d ln tau / d barrier, barrier as measured",
             _line(barrier_k, log_tau_k, tau_err_k / tau_k, barrier_err_k)),
            ("slope_theory", "the same, barrier of theory",
             _line(theory_k, log_tau_k, tau_err_k / tau_k, exact_k)),
            ("slope_size", "d ln tau / d d", _line(d_k, log_tau_k, tau_err_k / tau_k, exact_k)),
            ("slope_barrier_size", "d barrier / d d, as measured",
             _line(d_k, barrier_k, barrier_err_k, exact_k))):
        for key, value, what in (
                (name, line.slope, text),
                (f"{name}_err", line.slope_error,
                 f"error of {text}, enlarged by sqrt(chi2/(points - 2)) where that exceeds 1"),
                (f"{name}_intercept", line.intercept, f"intercept of {text}"),
                (f"{name}_chi2", line.chi2, f"squared distances from the line in errors: {text}"),
                (f"{name}_points", line.n, f"points of the line: {text}"),
                (f"{name}_p", float(stats.chi2.sf(line.chi2, line.n - 2)) if line.n > 2 else
                 math.nan, f"chance of a larger chi2 if the line is straight: {text}")):
            group.add(key, value, (), "1", what)
    return {"nucleation": group}


def _column(group: Group, found: list[Group], name: str, key: str):
    """Add a number with its error of every d; returns both."""
    first = found[0].variables[name]
    columns = [np.array([float(g[n]) for g in found]) for n in (name, f"{name}_err")]
    group.add(key, columns[0], "size", first.units, first.long_name)
    group.add(f"{key}_err", columns[1], "size", first.units, f"error of {first.long_name}")
    return columns


def _theory(point: Card, wall: float) -> float:
    """Barrier of cavity theory while all neurons are below the wall; NaN where it has none."""
    from phasegrok.theory.adaptive_kernel import solve

    p = point.parameters
    try:
        return solve(cubic_model(p, p.sigma2 / p.n), "cavity", wall=wall).barrier
    except ArithmeticError:  # the centre is no well, or the equations do not converge
        return math.nan


def _line(x_k, y_k, y_err_k, x_err_k):
    """Straight line; errors of x count with the slope of a first fit without them."""
    from phasegrok.statistics import weighted_line

    x_k = np.asarray(x_k, float)
    first = weighted_line(x_k, y_k, y_err_k)
    return weighted_line(x_k, y_k, np.hypot(y_err_k, first.slope * x_err_k))
