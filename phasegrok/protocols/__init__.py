"""From a card to the protocols that run on it, and to the groups that they leave in run files.

Scripts compose these.  Each function checks that the card suits the protocol and says in one
sentence what is missing where it does not.
"""

import dataclasses
import functools
import math
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ValidationError

from phasegrok.cards import (
    Card,
    Event,
    FiniteSize,
    PhaseDiagram,
    Relaxation,
    WaitingTimes,
    check_temperature,
    temperature_grid,
)
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group

_LANDSCAPE_CELLS = 100_000  # a joint landscape of more cells is no matter of minutes
_MOST_STEPS = 1e18  # counters are 64-bit integers
_MIN_CLONES, _MIN_CLONES_QUICK = 40, 24
_LONGEST_RING = 2**16  # spins; beyond, the infinite chain is the same to 1e-5
_FEWEST_WORDS = 8  # of 64 replicas each, whose scatter gives the error after a quench


def _need_family(card: Card, family: str, what: str) -> None:
    if card.family != family:
        raise InputError(f"{card.name}: {what} needs a {family} system, this one is "
                         f"{card.family}; `phasegrok models` lists the cards by family")


def _known_kind(card: Card) -> str:
    """Kind by which exact results are found; empty for the user's own code, whatever its kind."""
    return "" if card.model.code else card.model.kind


# --- landscapes -----------------------------------------------------------------------------------


def wang_landau(card: Card, sweeps: int | None = None, walkers: int | None = None,
                joint: bool = False, what: str = "the density of states"):
    """Wang-Landau protocol of a discrete card; settings that are None are the card's.

    Energies without levels are counted in bins, and all are where the card gives a bin width.

    Raises
    ------
    InputError
        If the card is not discrete (``what`` needs it to be) or its landscape has too many cells.
    """
    _need_family(card, "discrete", what)
    from phasegrok.sampling.wang_landau import WangLandau
    from phasegrok.systems.binned import counted

    settings = card.model.density_of_states
    try:
        system = counted(card.build(), settings.bin_width)
    except ValueError as error:
        raise InputError(f"{card.name}: {what}: {error}") from error
    return WangLandau(system, sweeps or settings.sweeps, walkers or settings.walkers, joint,
                      settings.windows, settings.schedule)


def landscape_temperatures(card: Card, text: str | None = None) -> np.ndarray | None:
    """Temperatures for a density of states: given, the card's, or None: those it shows itself at.

    Raises
    ------
    InputError
        If the text is not first:last:number with positive values.
    """
    text = text or (card.model.sample.temperatures if card.model.thermodynamics is None else None)
    if text is None and card.model.thermodynamics is None:
        return None
    return temperature_table(card, text)


def temperature_table(card: Card, text: str | None = None) -> np.ndarray:
    """Temperatures from the command line, or the card's.

    Raises
    ------
    InputError
        If neither gives any, or the text is not first:last:number with positive values.
    """
    try:
        return temperature_grid(_temperatures_text(card, text))
    except ValueError as error:
        raise InputError(f"--temperatures: {error}") from error


def _temperatures_text(card: Card, text: str | None) -> str:
    """The text given, or that of ``[thermodynamics]``."""
    if text is None:
        if card.model.thermodynamics is None:
            raise InputError(f"{card.name}: no temperatures: give --temperatures first:last:number")
        text = card.model.thermodynamics.temperatures
    return text


# --- replicas -------------------------------------------------------------------------------------


def _systems(card: Card, samples: int) -> tuple:
    """One system a sample of the disorder."""
    return tuple(card.build(arrays) for arrays in card.samples(samples))


def samples_group(card: Card, samples: int) -> dict[str, Group]:
    """Group ``samples`` with the disorder of every sample, where there are several."""
    if samples == 1:
        return {}
    group = Group()
    group.add("sample", np.arange(samples), "sample", "1", "sample of the disorder")
    drawn = card.samples(samples)
    for name, array in card.arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
        for axis, dim in enumerate(dims):
            group.add(dim, np.arange(array.shape[axis]), dim, "1", f"axis {axis} of {name}")
        group.add(name, np.stack([arrays[name] for arrays in drawn]), ("sample", *dims), "1",
                  f"{name} of every sample")
    return {"samples": group}


def _engine(card: Card, dynamics: Any, order: Any, samples: int):
    """What moves the replicas: clusters, 64 replicas in a word where they fit, or one site."""
    from phasegrok.dynamics import multi_spin
    from phasegrok.dynamics.multi_spin_east import MultiSpinEast
    from phasegrok.dynamics.replicas import SingleFlip
    from phasegrok.systems.east import East

    systems = _systems(card, samples)
    if dynamics in ("wolff", "swendsen-wang"):
        from phasegrok.dynamics.clusters import Clusters

        try:
            return Clusters(systems, dynamics)
        except ValueError as error:
            raise InputError(f"{card.name}: {error}") from error
    problem = multi_spin.fits(systems, order)
    if not problem:
        return multi_spin.MultiSpin(systems, dynamics, order)
    if isinstance(systems[0], East) and order == "random-site":
        return MultiSpinEast(systems, dynamics)
    if order != "random-site":
        raise InputError(f"{card.name}: order = {order}: {problem}; take order = random-site")
    return SingleFlip(systems, dynamics)


def _need_pairs(card: Card, replicas: int, samples: int) -> None:
    """Overlaps are taken within pairs of replicas, which must not cross samples."""
    if replicas > 1 and replicas % 2:
        raise InputError(f"{card.name}: replicas = {replicas}: give an even number, for the "
                         "overlap within pairs" + (" of each sample" if samples > 1 else ""))


def sampling(card: Card, temperatures: str | None = None, sweeps: int | None = None,
             samples: int = 1):
    """Canonical sampling of a discrete card; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is not discrete, gives no temperatures, or its dynamics does not fit.
    """
    _need_family(card, "discrete", "canonical sampling")
    from phasegrok.sampling.canonical import FEWEST_SWEEPS, Canonical

    s = card.model.sample
    text = _temperatures_text(card, temperatures or s.temperatures)
    grid = temperature_table(card, text)
    sweeps = sweeps or s.sweeps
    if s.equilibration + FEWEST_SWEEPS > sweeps:
        raise InputError(f"{card.name}: equilibration = {s.equilibration} leaves too little to "
                         f"measure of {sweeps} sweeps, at least {FEWEST_SWEEPS}: "
                         f"--set equilibration={sweeps // 5}")
    _need_pairs(card, s.replicas, samples)
    if s.exchange and len(grid) < 2:
        raise InputError(f"{card.name}: replica exchange needs at least two temperatures")
    engine = _engine(card, s.dynamics, s.order, samples)
    tune = s.tune and ":" in text  # what was listed is wanted as it is
    return Canonical(engine, tuple(map(float, grid)), s.replicas * samples, sweeps,
                     s.equilibration, s.exchange, tune)


def sampling_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of canonical sampling, with exact values beside them where the model is solved."""
    from phasegrok.theory.solved import exact_averages

    groups = protocol.result(state)
    if "averages" in groups:
        averages = groups["averages"]
        exact = estimated(groups, "exact averages", lambda: exact_averages(
            _known_kind(card), card.parameters, averages["temperature"]))
        for name, value in (exact or {}).items():
            variable = averages.variables[name]
            averages.add(f"exact_{name}", value, "temperature", variable.units, f"exact {name}")
    return groups | samples_group(card, len(protocol.engine.systems))


def _relaxation_engine(card: Card, settings, samples: int, ramp: bool):
    """One site of one replica at a time, or 64 replicas in a word where enough words give errors.

    Out of equilibrium the replicas of a word are correlated by the sites that they share.
    """
    from phasegrok.dynamics.multi_spin import LANES
    from phasegrok.dynamics.replicas import SingleFlip

    n = settings.replicas
    at_random = ramp or settings.start is None
    if at_random and n % LANES == 0 and n * samples >= _FEWEST_WORDS * LANES:
        return _engine(card, settings.dynamics, "random-site", samples)
    return SingleFlip(_systems(card, samples), settings.dynamics)


def relaxation(card: Card, ramp: bool = False, temperature: float | None = None,
               sweeps: int | None = None, samples: int = 1):
    """Quench, or ramps, of a discrete card; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is not discrete or lacks what is needed.
    """
    _need_family(card, "discrete", "relaxation")
    from phasegrok.dynamics.quench import Quench, Ramp

    if temperature is not None:
        if ramp:
            raise InputError("--temperature is that of a quench: a ramp goes through those of "
                             "--set ramp=first:last:number")
        if not temperature > 0.0:
            raise InputError(f"--temperature {temperature:g}: give a positive temperature")
    r = card.model.relaxation
    if r is None and temperature is not None:
        r = Relaxation(temperature=temperature)  # with settings that are the same on every card
    if r is None:
        raise InputError(f"{card.name}: a quench needs [relaxation] with a temperature on the "
                         "card, or --temperature T")
    engine = _relaxation_engine(card, r, samples, ramp)
    if not ramp:
        t = r.temperature if temperature is None else temperature
        _checked_temperature(t)
        return Quench(engine, t, r.replicas * samples, sweeps or r.sweeps, r.start)
    if r.ramp is None:
        raise InputError(f"{card.name}: a ramp needs its temperatures: "
                         "--set ramp=first:last:number")
    grid = tuple(map(float, temperature_grid(r.ramp)))
    return Ramp(engine, grid, r.replicas * samples, sweeps or r.ramp_sweeps)


def relaxation_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of a quench or of ramps, with exact values beside a quench of the Glauber chain."""
    groups = protocol.result(state) | samples_group(card, len(protocol.engine.systems))
    p = card.parameters
    solved = ("relaxation" in groups and _known_kind(card) == "ising-chain" and p.h == 0.0
              and p.J != 0.0 and protocol.engine.dynamics == "heat-bath" and protocol.start is None)
    if solved:
        estimated(groups, "exact relaxation", lambda: _add_glauber(
            groups["relaxation"], groups["two_time_overlap"], protocol.temperature, p))
    return groups


def _checked_temperature(temperature: float) -> None:
    try:
        check_temperature(temperature)
    except ValueError as error:
        raise InputError(str(error)) from error


def _add_glauber(one: Group, two: Group, temperature: float, p) -> None:
    """Exact energy and two-time overlap of the ring, or of the infinite chain where N is large."""
    from phasegrok.theory import glauber

    n_spins = p.N if p.N <= _LONGEST_RING else None
    how = "of the ring in sweeps" if n_spins else "of the infinite chain in continuous time"
    time, since, waits = one["time"], two["time_since"], two["waiting_time"]
    one.add("exact_energy", glauber.quench_energy(time, temperature, p.J, n_spins), "time",
            "energy per site", f"exact energy a site {how}")
    exact = np.full((len(waits), len(since)), np.nan)
    for w, t_w in enumerate(waits):
        inside = t_w + since <= time[-1]
        exact[w, inside] = glauber.ageing_correlation(float(t_w), since[inside], temperature, p.J,
                                                      n_spins)
    two.add("exact_overlap", exact, ("waiting_time", "time_since"), "1",
            f"exact C(t_w, t_w + t) {how}")


def potential_groups(sampler, state, temperatures: np.ndarray | None) -> dict[str, Group]:
    """Groups ``density_of_states``, ``thermodynamics`` and ``effective_potential``."""
    from phasegrok.thermodynamics.tables import (
        effective_potential,
        merge_columns,
        thermodynamics,
    )

    groups = sampler.result(state)
    density = groups["density_of_states"]
    merge = sampler.system.order_merge
    found = estimated(groups, "thermodynamics", lambda: thermodynamics(
        density, temperatures, sampler.system.n_sites))
    if found is not None:
        groups["thermodynamics"], temperatures = found, found["temperature"]
    potential = None if temperatures is None else estimated(
        groups, "effective_potential", lambda: effective_potential(
            merge_columns(density, merge) if merge > 1 else density, temperatures))
    if potential is not None:
        groups["effective_potential"] = potential
        potential.attributes["merged_values"] = merge
    return groups


# --- networks -------------------------------------------------------------------------------------

# settings of an optimiser that the card calls as the code does
_SAME = ("optimiser", "momentum", "filter", "filter_alpha", "filter_window", "filter_lambda",
         "initial_scale", "fixed_norm", "anneal", "friction", "deposit", "deposit_steps", "x_range",
         "x_bins", "engine", "device")


def training_settings(card: Card, **changes):
    """Settings of the trainer from a card; those that do not go together are refused."""
    from phasegrok.dynamics import trainer

    t = card.model.training
    if t.device == "cuda":
        from torch import cuda  # only where it is asked for: the import takes a second

        if not cuda.is_available():
            raise InputError(f"{card.name}: training.device is cuda, and PyTorch finds no CUDA "
                             "device on this machine")
    own = dict(learning_rate=t.lr, weight_decay=t.weight_decay, beta_1=t.beta1, beta_2=t.beta2,
               epsilon=t.epsilon, batch=t.batch, warmup=t.warmup, eval_every=t.eval_every,
               temperature=t.noise, final_temperature=t.final_noise,
               anneal_steps=t.anneal_steps or t.steps)
    try:
        return trainer.Settings(**own | {name: getattr(t, name) for name in _SAME} | changes)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{card.name}: training: {message}") from None


def _trainable(card: Card, settings):
    """The network of a card; refused where its engine does not have it."""
    from phasegrok.dynamics.training import check

    system = card.build()
    try:
        check(system, settings)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from None
    return system


def training(card: Card, replicas: int | None = None, steps: int | None = None):
    """Training protocol of a network card; settings that are None are the card's."""
    _need_family(card, "network", "training")
    from phasegrok.dynamics.training import GENERALISED, Training

    t = card.model.training
    hold = card.model.event.hold if card.model.event else 0.0
    event = {} if not t.stop_at_event else {
        "event_threshold": GENERALISED, "event_hold": _evaluations(card, hold)}
    settings = training_settings(card, **event)
    return Training(_trainable(card, settings), settings, replicas or t.replicas,
                    steps or t.steps, hold, per_decade=t.per_decade)


# --- waiting times --------------------------------------------------------------------------------


def _event_of(card: Card) -> tuple[WaitingTimes, Event]:
    """Settings of the clones and the event that they wait for, refused where they cannot be run."""
    if card.model.waiting_times is None or card.model.event is None:
        missing = "[waiting_times]" if card.model.waiting_times is None else "[event]"
        raise InputError(f"{card.name}: waiting times and a verdict need {missing} on the card")
    waiting, event = card.model.waiting_times, card.model.event
    if waiting.limit * 10_000 > _MOST_STEPS or event.hold > waiting.limit:
        raise InputError(f"{card.name}: limit = {waiting.limit:g}, hold = {event.hold:g} cannot be "
                         "run: give a limit that is longer than the hold and below 1e14")
    start = _known_start(card, waiting)
    if start is not None and start >= event.threshold:
        raise InputError(f"{card.name}: the order parameter at the start, {start:g}, is already at "
                         f"the event's threshold {event.threshold:g}")
    return waiting, event


def clones(card: Card, temperature: float | None = None, number: int | None = None):
    """Clones of one checkpoint at ``temperature`` (None: the card's first; 0: noise-free).

    Raises
    ------
    InputError
        If the card has no event or no ``[waiting_times]``, or the temperature is negative.
    """
    waiting, event = _event_of(card)
    t = waiting.temperatures[0] if temperature is None else temperature
    if t < 0.0:
        raise InputError(f"temperature {t:g} is negative")
    if t > 0.0:
        _checked_temperature(t)
    number = number or waiting.clones
    if card.family == "network":
        return _network_clones(card, t, number)
    system = card.build()
    if card.family == "overdamped":
        from phasegrok.dynamics.clones import OverdampedClones

        _check_noise(card, t, event.threshold)
        return OverdampedClones(system, t, number, event.threshold, event.hold, waiting.limit)
    from phasegrok.dynamics.clones import DiscreteClones

    return DiscreteClones(system, t, number, event.threshold, event.hold, waiting.limit,
                          waiting.dynamics, waiting.start, waiting.preparation_sweeps,
                          waiting.preparation_temperature)


def _check_noise(card: Card, temperature: float, threshold: float) -> None:
    """Refuse noise of which one time step leads past the event."""
    p = card.parameters
    reach = math.sqrt(2.0 * temperature * p.dt)
    if reach > abs(threshold - p.start):
        longest = (threshold - p.start) ** 2 / (2.0 * p.dt)
        raise InputError(f"{card.name}: temperature {temperature:g}: the noise of one time step, "
                         f"{reach:.3g}, leads past the event: give less than {longest:.3g}, or a "
                         "shorter dt")


def _known_start(card: Card, waiting: WaitingTimes) -> float | None:
    """Order parameter of the start where the card fixes it: the clones must not be there yet."""
    if card.family == "overdamped":
        x = card.parameters.start
        return abs(x) if card.parameters.order_parameter == "abs_x" else x
    return None if waiting.preparation_sweeps else waiting.start


def _network_clones(card: Card, temperature: float, number: int):
    from phasegrok.dynamics.training import NetworkClones

    waiting, event = _event_of(card)
    settings = training_settings(card, temperature=temperature, event_threshold=event.threshold,
                                  event_hold=_evaluations(card, event.hold), stop_at_event=True)
    _trainable(card, settings.model_copy(update={"engine": "compiled"}))  # finds the plateau
    return NetworkClones(_trainable(card, settings), settings, number, int(waiting.limit),
                         waiting.plateau_accuracy, card.model.training.steps)


def _eval_every(card: Card) -> int:
    return card.model.training.eval_every


def _evaluations(card: Card, hold: float) -> int:
    """Consecutive evaluations of a network that span ``hold`` steps or more."""
    return 1 + math.ceil(hold / _eval_every(card))


def _interval(card: Card) -> float:
    """Spacing of recorded waiting times: evaluations of a network, 0 for the other families."""
    return float(_eval_every(card)) if card.family == "network" else 0.0


def waiting_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Group ``waiting_times`` with its statistics, and exact values where the system is solved."""
    from phasegrok.accounts.components import analyse, exact_values

    groups = protocol.result(state)
    group = groups["waiting_times"]
    waits = estimated(groups, "statistics of the waiting times",
                      lambda: analyse(group, _interval(card)))
    add_waiting_statistics(group, waits, protocol.unit)
    group.attributes["time_unit"] = protocol.unit
    size = getattr(protocol.system, "n_sites", None)
    temperature = group.attributes["temperature"]
    exact = estimated(groups, "exact waiting time", lambda: exact_values(
        _known_kind(card), card.parameters, *_event_of(card), temperature, size))
    for name, value in (exact or {}).items():
        group.attributes[f"exact_{name}"] = value
    return groups


def add_waiting_statistics(group: Group, waits, unit: str) -> None:
    """Mean, spread and shifted-exponential law of the times of a group, each with its error.

    ``waits`` None: all of them NaN.
    """
    texts = {"tau": (unit, "mean waiting time"), "cv": ("1", "standard deviation / mean"),
             "lag": (unit, "lag of the shifted exponential"),
             "scale": (unit, "scale of the shifted exponential"),
             "memoryless": ("1", "mean residual time beyond the median / scale")}
    for name, (u, text) in texts.items():
        how = "bootstrap over clones" if u == "1" else "likelihood and scatter of clones"
        group.add(name, getattr(waits, name, np.nan), (), u, text)
        group.add(f"{name}_err", getattr(waits, f"{name}_err", np.nan), (), u,
                  f"standard error of {name}: {how}")
    group.add("p_value", getattr(waits, "p_value", np.nan), (), "1",
              "goodness of the shifted exponential: parametric bootstrap of the KS distance")


# --- the comparison of accounts -------------------------------------------------------------------


def check_comparable(cards: list[Card], clones_asked: int | None, quick: bool) -> None:
    """Refuse, before any work, cards on which no verdict can be reached."""
    messages = []
    for card in cards:
        try:
            waiting, _ = _event_of(card)
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

    waiting, _ = _event_of(card)
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
    if card.family == "discrete":
        sites = {n: card.resized(n).build().n_sites for n in waiting.sizes}
        sites[size] = card.build().n_sites
    two_time = None
    if card.family == "discrete" and card.model.relaxation is not None:
        two_time = _part(job, card, f"relaxation-{size}", lambda: relaxation(
            card, temperature=waiting.temperatures[0]))["two_time_overlap"]
    return Measurements(waits, noise_free, size, sizes, potentials, sites, two_time)


def _n_clones(job, card: Card, k: int) -> int:
    waiting, _ = _event_of(card)
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
    groups = _part(job, card, name, lambda: clones(card, temperature, number),
                   lambda protocol, state: waiting_groups(card, protocol, state))
    return groups["waiting_times"]


def _potential_part(job, card: Card, size: int) -> Group | None:
    """The effective potential, where the landscape is discrete and small enough."""
    if card.family != "discrete" or card.model.thermodynamics is None:
        return None
    system = card.build()
    try:
        cells = len(system.energy_levels()) * len(system.order_levels())
    except ValueError:  # couplings without a common step: no levels to count
        return None
    if cells > _LANDSCAPE_CELLS:
        return None
    waiting, _ = _event_of(card)
    grid = np.append(temperature_table(card), waiting.temperatures)
    temperatures = np.unique(grid.round(12))  # 1.2999999999999998 is 1.3
    groups = _part(job, card, f"effective_potential-{size}",
                   lambda: wang_landau(card, joint=True),
                   lambda protocol, state: potential_groups(protocol, state, temperatures))
    return groups.get("effective_potential")


def verdict_group(card: Card, measured) -> Group:
    """Group ``verdict/CARD``: label, reason, what would change it; every component with error."""
    from phasegrok.accounts.components import judge
    from phasegrok.accounts.verdict import NAMES

    found, verdict = judge(measured, _event_of(card)[0].temperature_drives, _interval(card))
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


# --- finite-size scaling --------------------------------------------------------------------------


_WINDOW = (-2.0, -1.0, 0.0, 1.0, 2.0)  # temperatures of a size: natural widths off the crossing
_PILOT = 4  # the runs that find the transition measure so many times fewer sweeps
_INDEPENDENT = 20.0  # autocorrelation times of a block of the jackknife
_MOST_BLOCKS = 256


def finite_size_settings(card: Card) -> FiniteSize:
    """Section ``[finite_size]`` of a discrete card.

    Raises
    ------
    InputError
        If the card is not discrete, or its section names no sizes.
    """
    from phasegrok.sampling.canonical import FEWEST_SWEEPS

    _need_family(card, "discrete", "finite-size scaling")
    s = card.model.finite_size
    if s is None or not (s.sizes or s.barrier_sizes):
        raise InputError(f"{card.name}: finite-size scaling needs [finite_size] with temperatures "
                         "and sizes or barrier_sizes on the card")
    if s.sizes and s.sweeps - s.equilibration < _PILOT * FEWEST_SWEEPS:
        raise InputError(f"{card.name}: finite_size.equilibration = {s.equilibration} leaves too "
                         f"little to measure of {s.sweeps} sweeps")
    if s.replicas % 2:
        raise InputError(f"{card.name}: finite_size.replicas = {s.replicas}: give an even number")
    if s.landscape == "canonical" and s.coordinate != "energy":
        raise InputError(f"{card.name}: barriers in the order parameter need finite_size.landscape "
                         "= wang-landau")
    for size in (*s.sizes, *s.barrier_sizes):
        card.resized(size)
    return s


def finite_size_sample(job) -> None:
    """Canonical sampling at the temperatures of ``[finite_size]``, with series: one point."""
    s = finite_size_settings(job.card)
    protocol = _series(job.card, s, s.sweeps, s.equilibration,
                       exchange=s.dynamics in ("metropolis", "heat-bath"))
    job.finish(protocol.result(job.drive(protocol)))


def _series(card: Card, settings: FiniteSize | PhaseDiagram, sweeps: int, equilibration: int,
            exchange: bool):
    """Canonical sampling that keeps time series, as a section of the card says."""
    from phasegrok.sampling.series import Series

    engine = _engine(card, settings.dynamics, "random-site", 1)
    grid = tuple(map(float, temperature_grid(settings.temperatures)))
    return Series(engine, grid, settings.replicas, sweeps, equilibration, exchange, tune=False)


def finite_size_landscape(job) -> None:
    """Sampling for the barrier of one size: one point."""
    card = job.card
    s = finite_size_settings(card)
    smallest = card.resized(s.barrier_sizes[0]).build().n_sites
    sweeps = s.barrier_sweeps * card.build().n_sites // smallest
    protocol: Any = wang_landau(card, sweeps, joint=s.coordinate == "order-parameter")
    if s.landscape == "canonical":
        protocol = _series(card, s, sweeps, sweeps // 10, exchange=True)
    job.finish(protocol.result(job.drive(protocol)))


def _size_of_run(run, card: Card):
    """Multiple histograms of one finished point, and whether it had converged."""
    from phasegrok.thermodynamics.finite_size import combine

    series, averages = run["series"], run["averages"]
    tau = np.fmax(averages["tau_energy"], averages["tau_order_parameter"])
    tau = np.where(np.isfinite(tau), np.maximum(tau, 0.5), 0.5)  # sweeps
    phi = series["order_parameter"]
    q = getattr(card.parameters, "q", None)
    if q is not None:  # 0 where no colour prevails
        phi = (q * phi - 1.0) / (q - 1.0)
    replicas, n = phi.shape[1:]
    stretches = int(n * series.attributes["every"] / (_INDEPENDENT * tau.max()))
    stretches = max(1, min(stretches, _MOST_BLOCKS // replicas))
    return combine(card.size, series.attributes["n_sites"], series["temperature"], 2.0 * tau,
                   series["energy"].astype(float), phi.astype(float), replicas * stretches)


def finite_size_windows(card: Card, pilots: list) -> dict[int, str]:
    """Temperatures of every size, about the crossing of the two smallest.

    Raises
    ------
    InputError
        If their Binder ratios do not cross in the temperatures of the card.
    """
    from phasegrok.thermodynamics.finite_size import crossings, curves, natural_width

    s = finite_size_settings(card)
    try:
        data = [_size_of_run(run, card.resized(n)) for run, n in zip(pilots, _pilot_sizes(card))]
        T = crossings(data).values_pq[:, 0]
    except ValueError as error:
        raise InputError(f"{card.name}: finite_size.temperatures = {s.temperatures}: "
                         f"{error}") from error
    if not np.isfinite(T).any():
        raise InputError(f"{card.name}: the Binder ratios of sizes {data[0].size} and "
                         f"{data[1].size} do not cross at finite_size.temperatures = "
                         f"{s.temperatures}: another range, more sweeps, or no such transition")
    heat_capacity = float(curves(data[1], T[:1]).values["heat_capacity"][0, 0])
    windows = {}
    for size in s.sizes:
        width = natural_width(float(T[0]), heat_capacity, card.resized(size).build().n_sites)
        windows[size] = ", ".join(f"{T[0] + n * width:.10g}" for n in _WINDOW)
    return windows


def finite_size_pilots(card: Card) -> dict[str, Card]:
    """The two smallest sizes at all temperatures of the card, to find the transition."""
    s = finite_size_settings(card)
    short = {"finite_size.sweeps": s.equilibration + (s.sweeps - s.equilibration) // _PILOT}
    return {f"pilot-{n}": card.resized(n).changed(short) for n in _pilot_sizes(card)}


def _pilot_sizes(card: Card) -> list[int]:
    from phasegrok.thermodynamics.finite_size import pairs

    sizes = finite_size_settings(card).sizes
    if not pairs(sizes):
        raise InputError(f"{card.name}: finite_size.sizes = {sizes}: the largest must be at least "
                         "1.5 times the smallest")
    return [sizes[i] for i in pairs(sizes)[0]]


def finite_size_points(card: Card, pilots: list) -> dict[str, Card]:
    """Every size at the temperatures of its own window, by name of the point."""
    return {f"scaling-{n}": card.resized(n).changed({"finite_size.temperatures": text})
            for n, text in finite_size_windows(card, pilots).items()}


def finite_size_scaling(card: Card, runs: list):
    """Groups ``curves/SIZE``, ``crossings``, ``exponents`` and ``collapse``, and the collapse.

    Where they cannot be estimated, the reason and None.

    Parameters
    ----------
    card : Card
    runs : list of RunFile
        The points of `finite_size_points`.
    """
    failed: dict[str, Group] = {}
    return estimated(failed, "finite-size scaling", lambda: _scaling(card, runs)) or (failed, None)


def _scaling(card: Card, runs: list):
    from phasegrok.theory.criticality import critical_point
    from phasegrok.thermodynamics import finite_size as fss
    from phasegrok.thermodynamics import finite_size_tables as tables

    s = finite_size_settings(card)
    sizes = s.sizes
    data = [_size_of_run(run, card.resized(n)) for run, n in zip(runs, sizes)]
    found = [fss.curves(d, d.grid()) for d in data]
    crossed = fss.crossings(data)
    limits = fss.limits(crossed, s.omega)
    whole, *narrower = ([fss.points(fss.curves(d, d.inner(len(_WINDOW), share))) for d in data]
                        for share in fss.SHARES)
    collapsed = fss.collapse(whole, (limits["temperature"].value, limits["inverse_nu"].value),
                             s.omega, tuple(narrower))
    exact = critical_point(_known_kind(card), card.parameters)
    groups = {f"curves/{c.size}": tables.curves_group(c) for c in found}
    groups["crossings"] = tables.crossings_group(crossed)
    groups["exponents"] = tables.exponents_group(limits, found, exact)
    groups["collapse"] = tables.collapse_group(collapsed, found)
    unfinished = [n for n, run in zip(sizes, runs) if not run["averages"].attributes["converged"]]
    groups["exponents"].attributes["converged"] = not unfinished
    groups["exponents"].attributes["converged_reason"] = (
        "every size converged" if not unfinished else "not converged: " + "; ".join(
            f"L = {n}: {run['averages'].attributes['converged_reason']}"
            for n, run in zip(sizes, runs) if n in unfinished))
    return groups, collapsed


def finite_size_barrier_points(card: Card) -> dict[str, Card]:
    """Every size whose barrier is wanted, by name of the point."""
    return {f"barrier-{n}": card.resized(n) for n in finite_size_settings(card).barrier_sizes}


def _dimension(card: Card) -> float:
    """d of a lattice of L^d sites; infinite where every site neighbours all others."""
    if "L" not in card.model.parameters:
        return np.inf
    return round(np.log(card.build().n_sites) / np.log(card.size))


def _flip_energy(card: Card) -> float:
    """Energy of one flipped site in an ordered configuration; 0 where levels are not equidistant.

    That is the distance of the teeth of P(E) in an ordered phase.
    """
    from phasegrok.systems.discrete import n_values, prepare, value_of

    system = card.build()
    try:
        steps = np.diff(system.energy_levels())
    except ValueError:  # counted in bins
        return 0.0
    if not np.allclose(steps, steps[0]):
        return 0.0
    sigma = system.configuration(1.0, np.random.default_rng(0))
    cache = np.zeros(system.cache_size, dtype=np.int64)
    ordered = prepare(system, sigma, cache)[0]
    others = [value_of(system, k) for k in range(n_values(system))]
    costs = []
    for value in others:
        flipped = sigma.copy()
        flipped[0] = value
        costs.append(prepare(system, flipped, cache)[0] - ordered)
    return max(0.0, *costs)


def _landscape_of(run, card: Card):
    """Coordinate of the columns, the barrier of one size, and whether its landscape is complete."""
    from phasegrok.thermodynamics.effective_potential import Coexistence
    from phasegrok.thermodynamics.finite_size import energy_columns, size_barrier
    from phasegrok.thermodynamics.tables import NOT_COMPLETE, merge_columns

    s = finite_size_settings(card)
    if s.coordinate == "order-parameter":
        density = run["density_of_states"]
        merge = card.build().order_merge
        density = merge_columns(density, merge) if merge > 1 else density
        energy, phi, log_g, rows = (density[n] for n in ("energy", "order_parameter", "log_g",
                                                         "log_g_jackknife"))
        complete, reason = (density.attributes[n] for n in ("complete", "complete_reason"))
    else:
        energy, log_g, rows, complete, reason = _density_of_run(run, card)
        width = _flip_energy(card)
        phi, joint = energy_columns(energy, log_g, width)
        log_g, rows = joint, np.stack([energy_columns(energy, row, width)[1] for row in rows])
    grid = temperature_grid(s.temperatures)
    found = size_barrier(energy, phi, log_g, rows, (float(grid[0]), float(grid[-1])))
    if not complete:
        found = dataclasses.replace(found, coexistence=Coexistence(False, NOT_COMPLETE),
                                    height=math.nan, error=math.nan)
    return phi, found, bool(complete), reason


def _density_of_run(run, card: Card):
    """E, ln g (up to a constant), its leave-one-out rows, and whether and why it is complete."""
    if finite_size_settings(card).landscape == "canonical":
        found, evidence = _size_of_run(run, card).found, run["averages"].attributes
        return (found.energies_c, found.log_g_c, found.log_g_jackknife_bc,
                evidence["converged"], evidence["converged_reason"])
    density = run["density_of_states"]
    return (density["energy"], density["log_g"], density["log_g_jackknife"],
            density.attributes["complete"], density.attributes["complete_reason"])


def finite_size_order(card: Card, runs: list, collapsed) -> dict[str, Group]:
    """Groups ``landscapes/SIZE``, ``barriers`` and ``finite_size`` with the verdict.

    Parameters
    ----------
    card : Card
    runs : list of RunFile
        The points of `finite_size_barrier_points`.
    collapsed : Collapse or None
        What `finite_size_scaling` found; None: not measured.
    """
    from phasegrok.theory.potts import interface_tension
    from phasegrok.thermodynamics import finite_size_tables as tables
    from phasegrok.thermodynamics.order import order_of_transition

    d = _dimension(card)
    groups: dict[str, Group] = {}
    failed: dict[str, Group] = {}
    sizes, n_sites, found, complete = [], [], [], []
    for n, run in zip(finite_size_settings(card).barrier_sizes, runs):
        sized = card.resized(n)
        landscape = estimated(failed, f"size {n}", functools.partial(_landscape_of, run, sized))
        if landscape is None:
            continue
        phi, barrier, whole, reason = landscape
        sizes.append(n)
        n_sites.append(sized.build().n_sites)
        found.append(barrier)
        complete.append(whole)
        groups[f"landscapes/{n}"] = tables.landscape_group(
            n, n_sites[-1], phi, barrier, whole, reason)
    area = np.array(sizes, dtype=float) ** (1.0 if np.isinf(d) else d - 1.0)
    order = order_of_transition(np.array(n_sites), area, np.array([f.height for f in found]),
                                np.array([f.error for f in found]), collapsed, d)
    if sizes:
        exact = 2.0 * interface_tension(card.parameters.q) if (
            _known_kind(card) == "potts-2d") else np.nan
        groups["barriers"] = tables.barriers_group(sizes, area, found, complete, order, exact,
                                                   _exact_barriers(card, sizes))
    missing = [f"size {n}" for n, whole in zip(sizes, complete) if not whole]
    missing += [f"{size}: {reason}" for group in failed.values()
                for size, reason in group.attributes.items()]
    groups["finite_size"] = Group(attributes={
        "order": order.label, "reason": order.reason,
        "landscapes": "all complete" if not missing else "not complete and not used: "
        + ", ".join(missing)})
    return groups


def _exact_barriers(card: Card, sizes: list[int]) -> list[float] | None:
    """Barriers in Phi at equal heights, where all weights are known."""
    from phasegrok.theory.curie_weiss import finite_coexistence

    if _known_kind(card) != "curie-weiss" or finite_size_settings(card).coordinate == "energy":
        return None
    p: Any = card.parameters
    return [finite_coexistence(n, p.h, p.J2, p.J3).barrier.from_low for n in sizes]


# --- phase diagrams -------------------------------------------------------------------------------


def _phase_diagram_settings(card: Card):
    _need_family(card, "discrete", "a phase diagram")
    if card.model.phase_diagram is None:
        raise InputError(f"{card.name}: a phase diagram needs [phase_diagram] on the card")
    return card.model.phase_diagram


def phase_diagram_series(card: Card):
    """Series on a ladder of temperatures: one point of a phase diagram.

    Raises
    ------
    InputError
        If the card's dynamics does not fit.
    """
    settings = _phase_diagram_settings(card)
    return _series(card, settings, settings.sweeps, settings.equilibration, exchange=True)


@dataclasses.dataclass
class PhaseDiagramColumn:
    """One value of the second parameter: its card, the series so far, smallest size first."""

    value: float
    card: Card
    series: list = dataclasses.field(default_factory=list)
    found: Any = None  # phase_diagram.Column, when all sizes are measured

    def point(self, size: int) -> tuple[str, Card]:
        """Name and card of the point at one size; its rungs follow from the size before."""
        from phasegrok.thermodynamics.phase_diagram import Reweighted, rungs

        settings = _phase_diagram_settings(self.card)
        key = "L" if "L" in self.card.model.parameters else "N"
        changes: dict[str, Any] = {f"parameters.{key}": size}
        if self.series:
            n_sites = self.card.resized(size).build().n_sites
            try:
                ladder = rungs(Reweighted(self.series[-1]), n_sites)
            except ValueError as error:  # neighbouring histograms do not overlap
                raise InputError(f"{self.card.name}: phase_diagram.temperatures = "
                                 f"{settings.temperatures}: {error}") from error
            changes["phase_diagram.temperatures"] = ", ".join(map(repr, ladder.tolist()))
        name = f"{key}={size}" if settings.parameter is None else (
            f"{settings.parameter}={self.value:.10g}-{key}={size}")
        return name, self.card.changed(changes)

    def add(self, run) -> None:
        """Take the series of the next size from its run file."""
        from phasegrok.thermodynamics.phase_diagram import Series

        group = run["series"]
        a = group.attributes
        self.series.append(Series(
            int(a["n_sites"]), group["temperature"], group["energy"],
            group["order_parameter"] - a["order_parameter_zero"], bool(a["symmetric"]),
            bool(self.card.build().order_levels()[0] < 0.0), "L" in self.card.model.parameters))


def phase_diagram_columns(card: Card, values=None) -> list[PhaseDiagramColumn]:
    """A column for each value of the second parameter; values that are None are the card's.

    Raises
    ------
    InputError
        If the card is not discrete, has no ``[phase_diagram]``, or its parameter does not exist.
    """
    settings = _phase_diagram_settings(card)
    if settings.parameter is None:
        return [PhaseDiagramColumn(float("nan"), card)]
    if settings.parameter not in type(card.parameters).model_fields:
        known = ", ".join(type(card.parameters).model_fields)
        raise InputError(f"{card.name}: phase_diagram.parameter = {settings.parameter}: "
                         f"parameters are {known}")
    values = settings.values if values is None else values
    if not values:
        raise InputError(f"{card.name}: phase_diagram.values: give values of {settings.parameter}")
    whole = isinstance(getattr(card.parameters, settings.parameter), int)
    return [PhaseDiagramColumn(float(v), card.changed(
        {f"parameters.{settings.parameter}": int(v) if whole else float(v)})) for v in values]


def phase_diagram_refinement(card: Card, columns: list[PhaseDiagramColumn]) -> list[float]:
    """Values half-way between a column of first-order transitions and a neighbour without."""
    name = _phase_diagram_settings(card).parameter
    if name is None or isinstance(getattr(card.parameters, name), int):
        return []
    return [0.5 * (a.value + b.value) for a, b in pairwise(columns)
            if (a.found.transition.label == "first-order") != (
                b.found.transition.label == "first-order")]


def phase_diagram_groups(card: Card, columns: list[PhaseDiagramColumn]) -> dict[str, Group]:
    """Groups ``phase_diagram`` and ``transitions``, and ``exact`` where lines are known."""
    from phasegrok.theory.phase_lines import phase_lines
    from phasegrok.thermodynamics.phase_diagram import diagram_groups

    settings = _phase_diagram_settings(card)
    name = settings.parameter or "none"
    key = "L" if "L" in card.model.parameters else "N"
    groups = diagram_groups(name, np.array([column.value for column in columns]),
                            [column.found for column in columns], settings.sizes)
    groups["transitions"].attributes["size_name"] = key
    exact = phase_lines(_known_kind(card), card.parameters, name,
                        np.array([column.value for column in columns]))
    if exact is None:
        return groups
    found = groups["transitions"]
    found.attributes["known_exactly"] = exact.exact
    found.add("known_temperature", exact.temperature, "value", "energy",
              "known temperature of the transition; NaN: none")
    found.add("known_first_order", exact.first_order, "value", "1",
              "whether the known transition is of first order")
    return groups | {"exact": _lines_group(exact)}


def _lines_group(exact) -> Group:
    """Group ``exact``: known lines and points of the plane."""
    group = Group()
    for name, line in exact.lines.items():
        group.add(f"{name}_value", line.parameter, f"{name}_value", "1", f"{line.text}: parameter")
        group.add(f"{name}_temperature", line.temperature, f"{name}_value", "energy", line.text)
    for name, (value, temperature, text) in exact.points.items():
        group.add(f"{name}_point", [value, temperature], "coordinate", "1", text)
    if exact.points:
        group.add("coordinate", [0, 1], "coordinate", "1", "parameter, temperature")
    return group
