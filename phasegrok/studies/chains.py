"""From a card to Langevin chains: of a continuous system, or of a network under a measure."""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import known_kind, need_family, temperature_table

_FEWEST_RECORDS = 256
_OF_NETWORKS = ("measure", "radius", "temperature")
_OF_SYSTEMS = ("aligned", "largest")


def langevin(card: Card, steps: int | None = None, chains: int | None = None):
    """Langevin chains of a continuous card; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is not continuous, gives no ``[langevin]``, or leaves too little to measure.
    """
    need_family(card, "continuous", "Langevin dynamics")
    s = _settings(card, steps)
    _leave_out(card, s, (*_OF_NETWORKS, "engine"), "a network")
    return _chains(card, card.build(), steps, chains, s.aligned, s.largest)


def network_chains(card: Card, temperatures: str | None = None, steps: int | None = None,
                   samples: int = 1):
    """Langevin chains of a network under the measure that its card names.

    Parameters
    ----------
    card : Card
    temperatures : str
        The one temperature, as text; that of the card if None.
    steps : int
        Those of the card if None.
    samples : int
        1: another sample is another card.

    Raises
    ------
    InputError
        If the card is no network, gives no ``[langevin]`` with measure, radius and temperature, or
        leaves too little to measure.
    """
    need_family(card, "network", "a measure of weights")
    if samples != 1:
        raise InputError(f"{card.name}: a network has no --samples: give other seeds on the card")
    from phasegrok.networks.kinds import usual_engine
    from phasegrok.networks.landscape import Landscape
    from phasegrok.networks.measures import measure_of

    s = _settings(card, steps)
    _leave_out(card, s, _OF_SYSTEMS, "a continuous system")
    T = s.temperature
    if temperatures is not None:
        T, *more = temperature_table(card, temperatures)
        if more:
            raise InputError(f"{card.name}: a network is sampled at one temperature: give one")
    missing = [key for key, value in zip(_OF_NETWORKS, (s.measure, s.radius, T)) if value is None]
    if missing:
        raise InputError(f"{card.name}: a network is sampled under a measure: give langevin."
                         f"{', langevin.'.join(missing)}")
    network = card.build()
    try:
        engine = s.engine if "engine" in s.model_fields_set else usual_engine(network)
        landscape = Landscape(network, measure_of(s.measure, s.radius, network), T, engine)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from error
    return _chains(card, landscape, steps, None, None, s.largest)


def _settings(card: Card, steps: int | None) -> Any:
    s = card.model.langevin
    if s is None:
        raise InputError(f"{card.name}: Langevin dynamics needs [langevin] on the card")
    steps = steps or s.steps
    if steps - s.equilibration < _FEWEST_RECORDS * s.every:
        raise InputError(f"{card.name}: {steps} steps, {s.equilibration} of them not measured, are "
                         f"fewer than {_FEWEST_RECORDS} records: give --sweeps "
                         f"{s.equilibration + _FEWEST_RECORDS * s.every} or more")
    return s


def _leave_out(card, s, keys, what):
    """Refuse keys that would do nothing."""
    given = [f"langevin.{key}" for key in keys if key in s.model_fields_set]
    if given:
        raise InputError(f"{card.name}: {', '.join(given)}: of {what}, which this is not: leave it "
                         "out")


def _chains(card, system, steps, chains, aligned, largest):
    from phasegrok.protocols.chains import Langevin

    s = card.model.langevin
    return Langevin(system, s.integrator, s.step, s.friction, chains or s.chains, steps or s.steps,
                    s.equilibration, s.every, aligned, largest)


def langevin_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of the chains, with the theories of the system beside the potential.

    Raises
    ------
    InputError
        If no chain stayed finite.
    """
    groups = _result(card, protocol, state)
    theories = {"two-layer-cubic": cubic_theories, "two-layer-modular": modular_theories,
                "ridge": ridge_theories}.get(known_kind(card))
    if theories is not None:
        estimated(groups, "theory", lambda: add_theories(
            groups["effective_potential"], theories(card.parameters, protocol)))
    return groups


def network_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Group ``chains`` of a network: averages, and the evidence that they are those of equilibrium.

    Raises
    ------
    InputError
        If no chain stayed finite.
    """
    from phasegrok.networks.measures import initial_norms
    from phasegrok.thermodynamics.unit_potential import doubts

    group, landscape = _result(card, protocol, state)["chains"], protocol.system
    s = _settings(card, protocol.steps)
    unit, text = landscape.network.loss_name
    for name in ("train_loss", "test_loss"):
        what = f"{text} of the {name.split('_')[0]} set"
        group.add(name, group[name], (), unit, what)
        group.add(f"{name}_err", group[f"{name}_err"], (), unit, f"standard error of {what}")
    against = doubts(group)
    group.attributes |= {
        "temperature": landscape.temperature, "measure": s.measure,
        "norm": s.radius * float(np.linalg.norm(initial_norms(landscape.network))),
        "convergence": f"NOT EQUILIBRATED: {'; '.join(against)}" if against else
        "chains begun from the measure agree; other starts were not tried"}
    return {"chains": group}


def _result(card, protocol, state):
    groups = protocol.result(state)
    if "effective_potential" not in groups:
        raise InputError(f"{card.name}: no chain stayed finite: the step is too long, take half: "
                         f"--set langevin.step={protocol.step / 2.0:g}")
    return groups


@dataclasses.dataclass(frozen=True)
class TheoryOfUnit:
    """What a theory says of one unit: its density over Phi and the field that it moves in.

    ``potential`` is -ln P, P normalised on the real axis and even; ``second`` is the mean of the
    unit's second number at Phi; ``residuals`` are name -> (value, text).
    """

    name: str
    phase: str
    Phi: np.ndarray
    potential: np.ndarray
    second: np.ndarray
    barrier: float
    well: float
    droplets: float
    residuals: dict[str, tuple[float, str]]


def cubic_model(p, kappa: float, n: float = 0.0):
    """Model of the adaptive-kernel theory for the parameters of a two-layer-cubic card.

    ``n`` patterns; 0: those of the card, none of which are drawn where it has all inputs.
    """
    from phasegrok.theory.adaptive_kernel import Model

    n = n or (p.n if p.inputs == "drawn" else math.inf)
    return Model(p.d, p.N, kappa, p.epsilon, p.sigma_a2, p.sigma_w2, n)


def cubic_theory(p, kappa: float, n: float = 0.0, name: str = "cavity") -> TheoryOfUnit:
    """One adaptive-kernel theory of a two-layer-cubic card; ``n`` as in :func:`cubic_model`."""
    from phasegrok.theory.adaptive_kernel import solve

    try:
        found = solve(cubic_model(p, kappa, n), name)
    except ArithmeticError as error:
        raise InputError(f"adaptive-kernel theory ({name}): {error}") from error
    return TheoryOfUnit(
        name, found.phase, found.Phi, found.potential, found.s_mean, found.barrier,
        float(found.wells[-1]), p.N * found.droplet,
        {"b": (found.b, "y - f on He_1"), "c": (found.c, "y - f on He_3")})


def cubic_theories(p, _protocol) -> list[TheoryOfUnit]:
    """All adaptive-kernel theories of a two-layer-cubic card."""
    from phasegrok.theory.adaptive_kernel import THEORIES

    return [cubic_theory(p, p.sigma2 / p.n, name=name) for name in THEORIES]


def modular_theories(p, _protocol) -> list[TheoryOfUnit]:
    """The mean-field theory of a two-layer-modular card; none of a part of the pairs."""
    from phasegrok.theory.modular_addition import Model, solve

    if p.train_fraction < 1.0:
        return []  # of all pairs only
    model = Model(p.P, p.N, p.sigma2, p.sigma_a2, p.gamma)
    found = solve(model)
    return [TheoryOfUnit(
        "mean-field", found.phase, found.Phi, found.potential + math.log(2.0), found.Psi_mean,
        found.barrier, float(found.wells[-1]), model.units * found.droplet,
        {"residual": (found.residual, "y - f over y")})]


def ridge_theories(p, protocol) -> list[TheoryOfUnit]:
    """The posterior, and the law at the step of the protocol where that is another matter."""
    from phasegrok.theory import ridge

    system = protocol.system
    laws = {"exact": ridge.posterior(system.x, system.y, p.sigma2, system.width)}
    if protocol.integrator != "ghmc":
        laws["finite-step"] = ridge.at_step(laws["exact"], protocol.step, protocol.integrator,
                                            protocol.friction)
    Phi = np.linspace(0.0, protocol.largest, 8193)
    nan = math.nan
    return [TheoryOfUnit(
        name, "Gaussian", Phi, *ridge.overlap_law(law, Phi), nan, nan, nan,
        {"train_loss": (ridge.expected_loss(law, system.x, system.y), "expected train loss"),
         "test_loss": (ridge.expected_test_loss(law, p.noise), "expected test loss")})
        for name, law in laws.items()]


def add_theories(group: Group, theories: list[TheoryOfUnit]) -> None:
    """-ln P(Phi) and what else theories give, on the bins of the simulation.

    Adds ``potential_theory`` and the mean of the second number over the dimension ``theory``, the
    barriers, wells and residuals, and the rms distance from the simulation where its error is below
    0.1 nat.
    """
    if not theories:
        return
    phi = group["order_parameter"]
    width = phi[1] - phi[0]
    known = np.isfinite(group["potential"]) & (group["potential_err"] < 0.1)
    rows = []
    for found in theories:
        inside = np.linspace(phi - 0.5 * width, phi + 0.5 * width, 9, axis=1)
        density = np.exp(-np.interp(inside, found.Phi, found.potential, right=np.inf))
        with np.errstate(divide="ignore"):
            V = -np.log(density.mean(axis=1))
        V[~np.isfinite(V)] = np.nan
        distance = (V - group["potential"])[known & np.isfinite(V)]
        rms, worst = math.nan, math.nan
        if len(distance):
            rms, worst = math.sqrt(float(np.mean(distance**2))), float(np.max(np.abs(distance)))
        rows.append([V, np.interp(phi, found.Phi, found.second), found.barrier, found.well,
                     found.droplets, rms, worst])
        group.attributes[f"phase_{found.name}"] = found.phase
    columns = [np.array(column, float) for column in zip(*rows)]
    group.add("theory", np.array([t.name for t in theories]), "theory", "1", "which theory")
    both = ("theory", "order_parameter")
    second = next(name for name in group.variables if name.endswith("_mean"))
    group.add("potential_theory", columns[0], both, "nat",
              f"{group.variables['potential'].long_name}, theory")
    group.add(f"{second}_theory", columns[1], both, "1",
              f"{group.variables[second].long_name}, theory")
    for name, unit, text, values in zip(
            ("barrier_theory", "well_theory", "droplets_theory", "distance_rms",
             "distance_largest"),
            ("nat", "1", "units", "nat", "nat"),
            ("from the centre to the top", "Phi of the outer well", "N p, units beyond the top",
             "rms of theory - simulation", "largest of it"), columns[2:]):
        group.add(name, values, "theory", unit, text)
    group.attributes["residuals"] = list(theories[0].residuals)
    for name, (_, text) in theories[0].residuals.items():
        group.add(name, np.array([t.residuals[name][0] for t in theories]), "theory", "1", text)
