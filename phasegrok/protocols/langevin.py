"""From a card of a continuous system to Langevin chains, and theory beside what they give."""

import math

import numpy as np

from phasegrok.cards import Card, InputError
from phasegrok.protocols import _known_kind, _need_family
from phasegrok.runfile import Group

_FEWEST_RECORDS = 256


def langevin(card: Card, steps: int | None = None, chains: int | None = None):
    """Langevin chains of a continuous card; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is not continuous, gives no ``[langevin]``, or leaves too little to measure.
    """
    _need_family(card, "continuous", "Langevin dynamics")
    from phasegrok.dynamics.langevin import Langevin

    s = card.model.langevin
    if s is None:
        raise InputError(f"{card.name}: Langevin dynamics needs [langevin] on the card")
    steps, chains = steps or s.steps, chains or s.chains
    if steps - s.equilibration < _FEWEST_RECORDS * s.every:
        raise InputError(f"{card.name}: {steps} steps, {s.equilibration} of them not measured, are "
                         f"fewer than {_FEWEST_RECORDS} records: give --sweeps "
                         f"{s.equilibration + _FEWEST_RECORDS * s.every} or more")
    return Langevin(card.build(), s.integrator, s.step, s.friction, chains, steps,
                    s.equilibration, s.every, s.aligned, s.largest)


def langevin_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of the chains, with the theories of the system beside the potential.

    Raises
    ------
    InputError
        If no chain stayed finite.
    """
    groups = protocol.result(state)
    if "effective_potential" not in groups:
        raise InputError(f"{card.name}: no chain stayed finite: the step is too long, take half: "
                         f"--set langevin.step={protocol.step / 2.0:g}")
    if _known_kind(card) == "two-layer-cubic":
        add_theories(groups["effective_potential"], card.parameters)
    return groups


def add_theories(group: Group, p) -> None:
    """-ln P(Phi) and what else the adaptive-kernel theories give, on the bins of the simulation.

    Adds ``potential_theory`` and ``s_mean_theory`` over the dimension ``theory``, the barriers,
    wells and the residuals b and c, and the rms distance from the simulation where its error is
    below 0.1 nat.
    """
    from phasegrok.theory.adaptive_kernel import THEORIES, Model, solve

    n = p.n if p.inputs == "drawn" else math.inf
    model = Model(p.d, p.N, p.sigma2 / p.n, p.epsilon, p.sigma_a2, p.sigma_w2, n)
    phi = group["order_parameter"]
    width = phi[1] - phi[0]
    known = np.isfinite(group["potential"]) & (group["potential_err"] < 0.1)
    rows = []
    for name in THEORIES:
        try:
            found = solve(model, name)
        except ArithmeticError as error:
            raise InputError(f"adaptive-kernel theory ({name}): {error}") from error
        inside = np.linspace(phi - 0.5 * width, phi + 0.5 * width, 9, axis=1)
        density = np.exp(-np.interp(inside, found.Phi, found.potential, right=np.inf))
        with np.errstate(divide="ignore"):
            V = -np.log(density.mean(axis=1))
        V[~np.isfinite(V)] = np.nan
        distance = (V - group["potential"])[known & np.isfinite(V)]
        rows.append([V, np.interp(phi, found.Phi, found.s_mean), found.b, found.c, found.barrier,
                     found.wells[-1], model.N * found.droplet,
                     math.sqrt(float(np.mean(distance**2))), float(np.max(np.abs(distance)))])
        group.attributes[f"phase_{name}"] = found.phase
    columns = [np.array(column, float) for column in zip(*rows)]
    group.add("theory", np.array(THEORIES), "theory", "1", "which theory")
    both = ("theory", "order_parameter")
    group.add("potential_theory", columns[0], both, "nat", "-ln P(Phi) of one neuron, theory")
    group.add("s_mean_theory", columns[1], both, "1", "<s> at fixed Phi, theory")
    for name, unit, text, values in zip(
            ("b", "c", "barrier_theory", "well_theory", "droplets_theory", "distance_rms",
             "distance_largest"),
            ("1", "1", "nat", "1", "neurons", "nat", "nat"),
            ("y - f on He_1", "y - f on He_3", "from the centre to the top",
             "Phi of the outer well",
             "N p, neurons beyond the top", "rms of theory - simulation", "largest of it"),
            columns[2:]):
        group.add(name, values, "theory", unit, text)
