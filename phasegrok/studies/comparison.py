"""The comparison of the two accounts: every measurement that the verdict needs, and the verdict."""

import numpy as np

from phasegrok.accounts.components import TRANSITS
from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.studies.density_of_states import (
    density_of_states,
    landscape_temperatures,
    potential_groups,
)
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones, event_of, interval_of, waiting_groups

_LANDSCAPE_CELLS = 100_000  # a joint landscape of more cells is no matter of minutes
_MIN_CLONES, _MIN_CLONES_QUICK = 40, 24


def check_comparable(cards: list[Card], clones_asked: int | None, quick: bool) -> None:
    """Refuse, before any work, cards on which no verdict can be reached."""
    messages = []
    for card in cards:
        try:
            waiting, _ = event_of(card)
            _enough_clones(card, clones_asked or waiting.clones, quick)
            for size in waiting.sizes:
                card.resized(size)
        except InputError as error:
            messages += error.messages
    if messages:
        raise InputError(*messages)


def _enough_clones(card: Card, number: int, quick: bool) -> None:
    least = _MIN_CLONES_QUICK if quick else _MIN_CLONES
    if number < least:
        raise InputError(f"{card.name}: a verdict needs at least {least} clones, not {number}")


def measure(job, card: Card):
    """All measurements that a verdict needs, each protocol in its own file beside the verdict's.

    Files are CARD/PROTOCOL-SIZE.h5; those that are finished are read, not run again.
    """
    from phasegrok.accounts.components import Measurements

    waiting, _ = event_of(card)
    size = card.size
    if card.family == "network":
        _part(job, card, f"training-{size}", lambda: training(card))
    potentials = {}
    for n, sized in [(size, card), *((n, card.resized(n)) for n in waiting.sizes)]:
        potential = _potential_part(job, sized, n)
        if potential is not None:
            potentials[n] = potential
    waits = {}
    for k, t in enumerate(waiting.temperatures):
        name = f"waiting_times-{size}" + (f"-T{t:g}" if k else "")
        waits[t] = _waiting_part(job, card, name, t, _n_clones(job, card, k))
    noise_free = _waiting_part(job, card, f"noise_free-{size}", 0.0, 1)
    sizes = {n: _waiting_part(job, card.resized(n), f"waiting_times-{n}",
                              waiting.temperatures[0], waiting.scan_clones)
             for n in waiting.sizes}
    sites = {}
    spatial = card.family in ("discrete", "hamiltonian")
    if spatial:
        sites = {n: card.resized(n).build().n_sites for n in waiting.sizes}
        sites[size] = card.build().n_sites
    two_time = None
    if spatial and card.model.relaxation is not None:
        two_time = _part(job, card, f"relaxation-{size}", lambda: relaxation(
            card, temperature=waiting.temperatures[0]))["two_time_overlap"]
    return Measurements(waits, noise_free, size, sizes, potentials, sites, two_time)


def watched(card: Card, temperature: float, number: int):
    """Clones that are watched after their event; without noise nothing comes back by itself."""
    return clones(card, temperature, number, TRANSITS if temperature > 0.0 else 0.0)


def _n_clones(job, card: Card, k: int) -> int:
    waiting, _ = event_of(card)
    return waiting.scan_clones if k else job.parameters.clones or waiting.clones


def _part(job, card: Card, name: str, make, finish=None) -> dict[str, Group]:
    """Groups of the part ``name`` of a comparison, run now or read from its file."""
    part = job.child(f"{card.name}/{name}.h5", card)
    try:
        if not part.done:
            protocol = make()
            state = part.drive(protocol, f"{card.name} {name}")
            part.finish(finish(protocol, state) if finish else protocol.result(state))
        return part.read().groups
    finally:
        part.close()


def _waiting_part(job, card: Card, name: str, temperature: float, number: int) -> Group:
    groups = _part(job, card, name, lambda: watched(card, temperature, number),
                   lambda protocol, state: waiting_groups(card, protocol, state))
    return groups["waiting_times"]


def _potential_part(job, card: Card, size: int) -> Group | None:
    """The effective potential, where the landscape is small enough."""
    waiting, _ = event_of(card)
    if not _has_landscape(card):
        return None
    table = landscape_temperatures(card)
    assert table is not None  # else there is no landscape
    grid = np.append(table, waiting.temperatures)
    temperatures = np.unique(grid.round(12))  # 1.2999999999999998 is 1.3
    groups = _part(job, card, f"effective_potential-{size}",
                   lambda: density_of_states(card, joint=True),
                   lambda protocol, state: potential_groups(protocol, state, temperatures))
    return groups.get("effective_potential")


def _has_landscape(card: Card) -> bool:
    """Whether g(E, Phi) is measured: of few cells, or of coordinates whose ladder reaches there."""
    if card.family == "hamiltonian":
        if card.model.sample.temperatures is None or not hasattr(card.build(), "lowest"):
            return False
        table, asked = landscape_temperatures(card), event_of(card)[0].temperatures
        return table is not None and table[0] <= min(asked) and max(asked) <= table[-1]
    if card.family != "discrete" or card.model.thermodynamics is None:
        return False
    system = card.build()
    try:
        return len(system.energy_levels()) * len(system.order_levels()) <= _LANDSCAPE_CELLS
    except ValueError:  # couplings without a common step: no levels to count
        return False


def verdict_group(card: Card, measured) -> Group:
    """Group ``verdict/CARD``: label, reason, what would change it; every component with error."""
    from phasegrok.accounts.components import judge
    from phasegrok.accounts.verdict import NAMES

    found, verdict = judge(measured, event_of(card)[0].temperature_drives, interval_of(card))
    main = measured.waits[measured.temperature]
    group = Group()
    unit = main.attributes["time_unit"]
    units = {"t0": unit, "tau": unit, "lag": unit, "tau_a": unit, "barrier": "nat",
             "barrier_size_slope": "nat per spin", "size_slope": "1 per spin"}
    for name, text in NAMES.items():
        item = getattr(found, name)
        value, error = (np.nan, np.nan) if item is None else item
        group.add(name, value, (), units.get(name, "1"), text if item else f"{text}: not measured")
        group.add(f"{name}_err", error, (), units.get(name, "1"), f"standard error of {name}")
    group.attributes.update({
        "label": verdict.label,
        "calibrated": verdict.calibrated,
        "reason": verdict.reason,
        "would_change": "\n".join(verdict.would_change),
        "not_measured": ", ".join(NAMES[name] for name in verdict.not_measured),
        "clones": len(main["time"]),
        "time_unit": unit,
        "temperature": measured.temperature,
        "size": measured.size,
    })
    if card.model.control:
        group.attributes["control"] = card.model.control
    for name in ("tau", "barrier"):
        if f"exact_{name}" in main.attributes:
            group.attributes[f"exact_{name}"] = main.attributes[f"exact_{name}"]
    _add_exact_slope(group, measured)
    if measured.size in measured.potentials:
        evidence = measured.potentials[measured.size].attributes
        group.attributes["landscape_complete"] = evidence["complete"]
        group.attributes["landscape_reason"] = evidence["complete_reason"]
    return group


def _add_exact_slope(group: Group, measured) -> None:
    """Exact d ln tau/dN between the smallest and the largest size, where both are solved."""
    taus = {measured.size: measured.waits[measured.temperature], **measured.sizes}
    exact = {n: g.attributes["exact_tau"] for n, g in taus.items() if "exact_tau" in g.attributes}
    if len(exact) >= 2:
        low, high = min(exact), max(exact)
        slope = np.log(exact[high] / exact[low]) / (measured.n_sites(high) - measured.n_sites(low))
        group.attributes["exact_size_slope"] = float(slope)
