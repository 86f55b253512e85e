"""Model cards: a TOML file and the command line's ``--set`` make a validated system.

A card says what is simulated (kind and parameters), what is measured (observables and event) and
with what settings each protocol runs by default.  All mistakes of a card are reported at once, one
line each.  Listing, inspecting and plotting never execute the code that a card may name.
"""

import copy
import dataclasses
import datetime
import difflib
import hashlib
import importlib.util
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from phasegrok import systems
from phasegrok.errors import InputError
from phasegrok.text import as_typed, read_text

_LONGEST_CARD = 500_000  # characters; those of models/ have a thousand or two
_MOST_MESSAGES = 20  # of one card; the rest is counted
_MOST_TEMPERATURES = 10_000
_LONGEST_SHOWN = 60  # characters of what somebody wrote, in a message
_REPOSITORY = Path(__file__).resolve().parent.parent


# --- the schema -----------------------------------------------------------------------------------


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _TooMany(ValueError):
    """More temperatures than any run can have."""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


_COLDEST, _HOTTEST = 1e-100, 1e100  # units of energy; beyond, 1/T^2 leaves double precision


def check_temperature(temperature: float) -> None:
    """Refuse a positive temperature at which 1/T^2 cannot be computed.

    Raises
    ------
    ValueError
        If it is beyond 1e-100 ... 1e100.
    """
    if not _COLDEST <= temperature <= _HOTTEST:
        raise ValueError(f"temperature {temperature:g}: give one between {_COLDEST:g} and "
                         f"{_HOTTEST:g} in units of energy; well before either end nothing "
                         "changes any more")


def temperature_grid(text: str) -> np.ndarray:
    """Temperatures of ``first:last:number`` (equidistant) or of ``T, T, ...``, ascending.

    Raises
    ------
    ValueError
        If the text is of neither form, a temperature is not positive or extreme, or there are too
        many.
    """
    shown = _shortened(text)
    try:
        if ":" in text:
            first, last, given = text.split(":")
            number = int(given)
        else:
            number = text.count(",") + 1
        if number > _MOST_TEMPERATURES:
            raise _TooMany(f'"{shown}": {number} temperatures; give {_MOST_TEMPERATURES} at most')
        grid = (np.linspace(float(first), float(last), number) if ":" in text
                else np.array([float(part) for part in text.split(",")]))
    except _TooMany:
        raise
    except ValueError:
        raise ValueError(f'"{shown}" is not of the form first:last:number, as 1.0:3.0:41, nor a '
                         "list, as 2.2,2.27") from None
    if len(grid) < 1 or not np.all(np.isfinite(grid)) or np.any(grid <= 0.0):
        raise ValueError(f'"{shown}": temperatures must be positive, and at least one')
    for end in (grid.min(), grid.max()):
        check_temperature(float(end))
    return np.unique(grid)  # ascending, whichever way it was given


class Observables(_Section):
    """What the energy and the order parameter of this system are, in words."""

    energy: str
    order_parameter: str


class Event(_Section):
    """The event whose waiting time is taken: the observable stays >= threshold for ``hold``."""

    observable: str
    threshold: float = Field(description="per spin, or as the order parameter is defined")
    hold: float = Field(0.0, ge=0.0, description="sweeps, units of time, or steps")


class Data(_Section):
    """A file with the quenched disorder, relative to the card: CSV or NPZ."""

    file: str


class DensityOfStates(_Section):
    """Settings of Wang-Landau sampling."""

    sweeps: int = Field(200_000, ge=2, description="sweeps of each walker; half learn")
    walkers: int = Field(8, ge=1, le=1024, description="independent ladders of walkers")
    windows: int = Field(0, ge=0, le=64, description="windows of energy of a ladder; 0: by nats")
    schedule: Literal["halving", "samc"] = Field("halving", description="how ln f falls")
    bin_width: float = Field(0.0, ge=0.0, description="width of bins of energy, in its units; 0: "
                             "levels, or where there are none a 32nd of the spread of E")


class Thermodynamics(_Section):
    """The temperatures at which averages and the effective potential are given."""

    temperatures: str = Field(description="first:last:number, or a list")

    @field_validator("temperatures")
    @classmethod
    def _parses(cls, text: str) -> str:
        temperature_grid(text)
        return text


Dynamics = Literal["heat-bath", "metropolis"]


def _ascending(values: list) -> list:
    if sorted(set(values)) != values:
        raise ValueError("give each once, ascending")
    return values


Integers = Annotated[list[int], AfterValidator(_ascending)]
Numbers = Annotated[list[float], AfterValidator(_ascending)]


class Sample(_Section):
    """Settings of canonical sampling: replicas at each temperature."""

    temperatures: str | None = Field(
        None, description="first:last:number, or a list; none: those of [thermodynamics]")
    sweeps: int = Field(20_000, ge=10, description="sweeps of each replica in total")
    equilibration: int = Field(4_000, ge=0, description="sweeps of these that are not measured")
    replicas: int = Field(64, ge=1, le=2**16, description="replicas at each T, of each sample")
    dynamics: Literal["metropolis", "heat-bath", "wolff", "swendsen-wang"] = "metropolis"
    order: Literal["random-site", "checkerboard"] = Field(
        "random-site", description="order of single-site updates")
    exchange: bool = Field(False, description="replica exchange between neighbouring T")
    tune: bool = Field(True, description="move the inner T of first:last:number to even "
                       "acceptance of exchanges; T of a list stay")

    @field_validator("temperatures")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        if text is not None:
            temperature_grid(text)
        return text


class FiniteSize(_Section):
    """Settings of finite-size scaling, and of barriers against size."""

    temperatures: str = Field(
        description="first:last:number, a range with the transition of every size in it")
    sizes: list[int] = Field(default_factory=list, description="sizes of the scaling: three or "
                             "more, the two smallest also sampled at all temperatures")
    sweeps: int = Field(20_000, ge=100, description="sweeps of each replica in total")
    equilibration: int = Field(2_000, ge=0, description="sweeps of these that are not measured")
    replicas: int = Field(32, ge=2, le=2**16, description="replicas at each T")
    dynamics: Literal["metropolis", "heat-bath", "wolff", "swendsen-wang"] = Field(
        "swendsen-wang", description="single sites: with replica exchange")
    omega: float = Field(1.0, gt=0.0, description="exponent of the leading correction to scaling, "
                         "L^-omega")
    barrier_sizes: list[int] = Field(default_factory=list, description="sizes of the barriers")
    barrier_sweeps: int = Field(200_000, ge=1000, description="sweeps of each walker or replica at "
                                "the smallest size, more in proportion to the sites")
    landscape: Literal["wang-landau", "canonical"] = Field(
        "wang-landau", description="what measures the barriers; canonical: replica exchange at all "
        "temperatures, with dynamics as given, where barriers are low enough to be crossed")
    coordinate: Literal["energy", "order-parameter"] = Field(
        "energy", description="of the barrier")

    @field_validator("temperatures")
    @classmethod
    def _is_range(cls, text: str) -> str:
        if len(temperature_grid(text)) < 2:
            raise ValueError(f'"{text}": two temperatures at least')
        return text

    @field_validator("sizes", "barrier_sizes")
    @classmethod
    def _ascending(cls, values: list[int]) -> list[int]:
        if values != sorted(set(values)) or 0 < len(values) < 3:
            raise ValueError("give three sizes or more, in ascending order")
        return values


class PhaseDiagram(_Section):
    """Settings of a phase diagram: canonical sampling on ladders of temperatures, several sizes."""

    temperatures: str = Field(description="first:last:number of the smallest size; larger sizes "
                              "get as many as exchanges need")
    parameter: str | None = Field(None, description="the second parameter, of [parameters]; none: "
                                  "temperature alone")
    values: Numbers = Field(default_factory=list, description="its values")
    sizes: Integers = Field(min_length=1, description="L or N, at least two to tell classes")
    sweeps: int = Field(4_000, ge=100, description="sweeps of each replica in total")
    equilibration: int = Field(800, ge=0, description="sweeps of these that are not measured")
    replicas: int = Field(16, ge=4, le=2**12, description="independent ladders")
    dynamics: Literal["metropolis", "heat-bath", "wolff", "swendsen-wang"] = "heat-bath"
    refinements: int = Field(1, ge=0, le=8, description="times that the interval of the parameter "
                             "in which first-order transitions end is halved")

    @field_validator("temperatures")
    @classmethod
    def _parses(cls, text: str) -> str:
        if len(temperature_grid(text)) < 3:
            raise ValueError("give at least three temperatures, as 1.8:2.9:9")
        return text


class Relaxation(_Section):
    """Settings of a quench, and of ramps; updates are at random sites."""

    temperature: float = Field(gt=0.0, description="T after the quench")
    sweeps: int = Field(4096, ge=8, description="sweeps after the quench")
    replicas: int = Field(64, ge=1, le=2**16, description="replicas of each sample")
    dynamics: Dynamics = "heat-bath"
    start: float | None = Field(None, description="order parameter of the start; none: random")
    ramp: str | None = Field(
        None, description="temperatures of a ramp, first:last:number, as positive values")
    ramp_sweeps: int = Field(256, ge=2, description="sweeps at each T on the slowest ramp")

    @field_validator("ramp")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        if text is not None:
            temperature_grid(text)
        return text


class Langevin(_Section):
    """Settings of Langevin chains of a continuous system; half of them begin aligned."""

    integrator: Literal["euler-maruyama", "leimkuhler-matthews", "baoab", "ghmc"] = Field(
        "ghmc", description="ghmc has no error of the step")
    step: float = Field(gt=0.0, description="h; the prior relaxes in a time of one")
    friction: float = Field(1.0, gt=0.0, description="gamma of baoab and ghmc")
    chains: int = Field(8, ge=1, le=2**16, description="independent chains")
    steps: int = Field(ge=1, description="steps of each chain in total")
    equilibration: int = Field(0, ge=0, description="steps of these that are not measured")
    every: int = Field(1, ge=1, description="steps between records")
    aligned: float = Field(0.9, description="order parameter at which the other half begins")
    largest: float = Field(2.5, gt=0.0, description="upper end of the histogram of |Phi|")


class NeuronDiagram(_Section):
    """Settings of a phase diagram of neurons: Langevin chains, with [langevin], at its points."""

    sigma2_values: Numbers = Field(min_length=1, description="variances of the likelihood at "
                                       "which chains run, ascending")
    parameter: str | None = Field(None, description="the second parameter, of [parameters]; none: "
                                  "sigma2 alone")
    values: Numbers = Field(default_factory=list, description="its values, ascending")
    lines: int = Field(9, ge=2, le=1000, description="values of the parameter, over the same "
                       "range, at which the lines of theory are found")
    steps: int = Field(ge=1, description="steps of each chain in total, at each point")
    equilibration: int = Field(ge=0, description="steps of these that are not measured")


class Nucleation(_Section):
    """Settings of first passages against size: clones, and chains below a wall, with [langevin]."""

    sizes: Integers = Field(min_length=1, description="input dimensions d, ascending; sigma_a2 "
                             "grows in proportion, so that the drive u of a neuron stays")
    wall: float = Field(gt=0.0, description="order parameter that no unit reaches in the chains "
                        "that measure the barrier: a fifth beyond its top; clones are prepared "
                        "below three quarters of it")
    threshold: float = Field(gt=0.0, description="order parameter of a unit that is the event")
    clones: int = Field(64, ge=2, le=2**16, description="clones of one state, at each size")
    limit: int = Field(ge=1, description="steps after which a clone is censored")
    preparation: int = Field(1000, ge=0, description="steps of the state that is cloned")
    steps: int = Field(ge=1, description="steps of each chain below the wall")
    equilibration: int = Field(ge=0, description="steps of these that are not measured")


class MemorisationGap(_Section):
    """Settings of train and test loss at several numbers of patterns, with [langevin]."""

    patterns: Integers = Field(min_length=1, description="numbers of patterns n, ascending")
    kappa: float = Field(gt=0.0, description="sigma2/n, the same at every n, on which alone the "
                         "limit of the equivalent kernel depends")
    samples: int = Field(4, ge=2, le=10_000, description="data sets at each n")
    chains: int = Field(2, ge=2, le=2**16, description="chains on each, half of them aligned")
    steps: int = Field(ge=1, description="steps of each chain, recorded from the first")
    equilibration: int = Field(ge=0, description="steps that the averages leave out")


class LearningCurve(_Section):
    """Settings of the learning curve of a perceptron, over samples of teacher and patterns."""

    alphas: Numbers = Field(min_length=1, description="patterns a weight, ascending")
    sizes: Integers = Field(min_length=1, description="weights N, odd for Ising weights")
    samples: int = Field(40, ge=2, le=100_000, description="at each size and alpha")
    sweeps: int = Field(ge=100, description="of each walker of a landscape (Ising weights), or "
                        "N moves of each chain (spherical weights)")
    walkers: int = Field(4, ge=2, le=1024, description="of a landscape")
    large: int = Field(0, ge=0, description="N of the quenches from a random start and from the "
                       "teacher; 0: none")
    large_samples: int = Field(16, ge=2, description="samples of these")
    quench_temperature: float = Field(0.5, gt=0.0, description="T of the quenches")
    quench_sweeps: int = Field(4096, ge=8, description="sweeps of the quenches")

    @field_validator("alphas", "sizes")
    @classmethod
    def _are_positive(cls, values: list) -> list:
        if values[0] <= 0:
            raise ValueError("give positive values")
        return values


class Training(_Section):
    """Settings of the training of a network: optimiser, filter of the gradient, initial weights."""

    optimiser: Literal["adamw", "adam", "sgd", "baoab", "ghmc", "wand"] = Field(
        "adamw", description="adamw: decoupled decay; the others: decay in the gradient; baoab, "
        "ghmc: Langevin dynamics with velocities; wand: Wang-Landau molecular dynamics in ln loss")
    steps: int = Field(3000, ge=1, description="steps of a network")
    batch: int = Field(0, ge=0, description="pairs of a minibatch; 0: the whole training set")
    lr: float = Field(1e-3, gt=0.0, description="learning rate; baoab, ghmc, wand: step of time")
    weight_decay: float = Field(1.0, ge=0.0, description="wd; adamw: weights shrink by lr wd a "
                                "step; adam, sgd: wd theta is added to the gradient")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd")
    beta1: float = Field(0.9, ge=0.0, lt=1.0)
    beta2: float = Field(0.98, ge=0.0, lt=1.0)
    epsilon: float = Field(1e-8, gt=0.0)
    warmup: int = Field(10, ge=0, description="steps of linear warm-up")
    filter: Literal["none", "ema", "ma"] = Field(
        "none", description="Grokfast's filter of the gradient: exponential or moving average")
    filter_alpha: float = Field(0.98, ge=0.0, lt=1.0, description="memory of the ema, a step")
    filter_window: int = Field(100, ge=1, le=10_000, description="gradients in the ma; none is "
                               "added before there are so many")
    filter_lambda: float | None = Field(
        None, ge=0.0, description="how much of the average is added; none: 2 for ema, 5 for ma")
    initial_scale: float = Field(1.0, gt=0.0, description="factor of all weights at the start")
    fixed_norm: bool = Field(False, description="after every step, scale the weights back to their "
                             "norm at the start")
    noise: float = Field(0.0, ge=0.0, description="T of the weights, in units of the mean loss "
                         "(wand: of its ln): noise of variance 2 lr T a step, or T of velocities")
    anneal: Literal["none", "linear", "exponential"] = Field(
        "none", description="schedule of the noise, to final_noise at anneal_steps")
    final_noise: float = Field(0.0, ge=0.0, description="T at the end of the schedule")
    anneal_steps: int | None = Field(None, ge=1, description="none: all steps of the card")
    friction: float = Field(0.1, gt=0.0, le=1.0, description="share of a velocity lost a step")
    deposit: float = Field(1e-3, ge=0.0, description="wand: height of a deposit, in units of ln "
                           "loss; 0: no Wang-Landau term")
    deposit_steps: int = Field(10_000, ge=1, description="wand: steps after which deposits fall as "
                               "one over the time")
    x_range: tuple[float, float] = Field((-20.0, 3.0), description="wand: ln loss of deposits")
    x_bins: int = Field(230, ge=4, le=100_000, description="wand: intervals of it")
    replicas: int = Field(4, ge=1, description="independent initialisations")
    eval_every: int = Field(10, ge=1, description="steps between evaluations")
    per_decade: int = Field(100, ge=0, description="points of the curves in a decade of steps; 0: "
                            "every evaluation")
    stop_at_event: bool = Field(False, description="end a replica when 95 % test accuracy has held")
    engine: Literal["compiled", "torch"] = Field(
        "compiled", description="compiled: a replica a core; torch: replicas stacked on one device")
    device: Literal["cpu", "cuda"] = Field("cpu", description="of the engine torch")

    @model_validator(mode="after")
    def _engine_runs_there(self) -> "Training":
        if self.device == "cuda" and self.engine != "torch":
            raise ValueError('device = "cuda" needs engine = "torch"')
        return self


OPTIMISERS: dict[str, dict[str, Any]] = {
    "adamw": {"optimiser": "adamw"},
    "adam": {"optimiser": "adam"},
    "sgd": {"optimiser": "sgd"},
    "sgld": {"optimiser": "sgd", "momentum": 0.0},
    "baoab": {"optimiser": "baoab"},
    "ghmc": {"optimiser": "ghmc"},
    "wand": {"optimiser": "wand", "weight_decay": 0.0},
    "sphere": {"optimiser": "adamw", "weight_decay": 0.0, "fixed_norm": True},
}
"""Settings of [training] that a name of [optimisers] means; +ema and +ma add a filter."""


class Optimisers(_Section):
    """Optimisers to compare on one network, split and set of initial weights, with [training]."""

    names: list[str] = Field(min_length=1, description="adamw, adam, sgd, sphere (adamw without "
                             "decay at fixed norm), sgld, baoab, ghmc, wand or a name that "
                             "settings explain, with +ema or +ma where the gradient is filtered; "
                             "the first is the reference")
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="a name -> keys of [training] of its own; those of NAME "
        "hold for NAME+ema and NAME+ma as well")
    seed: int | None = Field(None, ge=0, description="of the initial weights; none: the run's")

    @field_validator("settings")
    @classmethod
    def _are_of_training(cls, table: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, keys in table.items():
            for key in ("steps", "replicas", "eval_every"):
                if key in keys:
                    raise ValueError(f"{name}: {key} is the same for all optimisers")
            try:
                Training.model_validate(keys)
            except ValidationError as error:
                raise ValueError(_one_line(name, (), error.errors()[0], Training)) from None
        return table

    @model_validator(mode="after")
    def _names_are_known(self) -> "Optimisers":
        for name in self.names:
            base, plus, kind = name.partition("+")
            known = {**OPTIMISERS, **self.settings}
            if base not in known or (plus and kind not in ("ema", "ma")):
                raise ValueError(f"there is no optimiser {name}: give {', '.join(OPTIMISERS)} or a "
                                 "name of optimisers.settings, as it is or with +ema or +ma")
        if len(set(self.names)) < len(self.names):
            raise ValueError("give each name once")
        unused = [n for n in self.settings if n not in {*self.names,
                                                        *(m.partition("+")[0] for m in self.names)}]
        if unused:
            raise ValueError(f"settings of {unused[0]}, which is not among the names")
        return self

    def changes(self, name: str) -> dict[str, Any]:
        """Overrides of [training] that make the optimiser ``name``."""
        base, _, kind = name.partition("+")
        found = OPTIMISERS.get(base, {}) | self.settings.get(base, {})
        if kind:
            found = found | {"filter": kind} | self.settings.get(name, {})
        return {f"training.{key}": value for key, value in found.items()}


class DecayLaw(_Section):
    """Values at which a network is trained, one quantity changed at a time, with [training]."""

    decays: list[float] = Field(default_factory=list, description="lr wd, by the weight decay")
    rates: list[float] = Field(default_factory=list, description="lr wd, by the learning rate")
    fractions: list[float] = Field(default_factory=list, description="train fraction")
    scales: list[float] = Field(default_factory=list, description="factor of the initial weights")
    norms: list[float] = Field(
        default_factory=list, description="norm of all weights, held fixed without decay, over "
        "that of the default initial weights")
    slowest: float = Field(
        20.0, ge=1.0, description="a point has the steps of [training] times the ratio of the "
        "card's lr wd to its own, or this at most; fractions and scales have this "
        "many times the steps")
    seed: int | None = Field(None, ge=0, description="of the initial weights; none: the run's")

    @field_validator("decays", "rates", "fractions", "scales", "norms")
    @classmethod
    def _ascend(cls, values: list[float]) -> list[float]:
        if any(not v > 0.0 for v in values) or sorted(set(values)) != values:
            raise ValueError("values must be positive and ascend")
        return values


class WaitingTimes(_Section):
    """Clones of one checkpoint; the first temperature is the one that the verdict is about."""

    temperatures: list[float] = Field(min_length=1, description="units of energy, T of the clones")
    clones: int = Field(48, ge=1, description="clones at the first temperature")
    scan_clones: int = Field(48, ge=1, description="clones at each further temperature and size")
    limit: float = Field(gt=0.0, description="censored after this many sweeps, times or steps")
    dynamics: Dynamics = "heat-bath"
    start: float | None = Field(None, description="order parameter of the start; none: random")
    preparation_sweeps: int = Field(0, ge=0)
    preparation_temperature: float = Field(1.0, ge=0.0)
    sizes: list[int] = Field(default_factory=list, description="further sizes, at the first T")
    temperature_drives: bool = Field(
        False, description="T drives the transition itself, so that d ln tau/d ln T has no sign"
    )
    plateau_accuracy: float = Field(
        0.99, gt=0.0, le=1.0, description="network: train accuracy that makes the checkpoint"
    )

    @field_validator("temperatures")
    @classmethod
    def _positive(cls, values: list[float]) -> list[float]:
        if any(not t > 0.0 for t in values):
            raise ValueError("temperatures must be positive (the noise-free run is always made)")
        return values


class CardModel(_Section):
    """The whole card; ``parameters`` is checked by the schema of its kind."""

    name: str = Field(description="as the file's name: small letters a-z, digits, . and -")
    title: str
    kind: str
    reference: str = Field(description="arXiv id, DOI, or where the setting comes from")
    units: str = "reduced, k_B = 1"
    family: Literal["discrete", "continuous", "network", "overdamped",
                    "constrained"] | None = None
    control: str | None = Field(None, description="the verdict that is known, for a control")
    code: str | None = Field(None, description="file.py:Class of the user's own system")
    parameters: dict[str, Any]
    observables: Observables
    data: Data | None = None
    event: Event | None = None
    density_of_states: DensityOfStates = Field(default_factory=DensityOfStates)
    thermodynamics: Thermodynamics | None = None
    sample: Sample = Field(default_factory=Sample)
    finite_size: FiniteSize | None = None
    phase_diagram: PhaseDiagram | None = None
    relaxation: Relaxation | None = None
    langevin: Langevin | None = None
    neuron_diagram: NeuronDiagram | None = None
    nucleation: Nucleation | None = None
    memorisation_gap: MemorisationGap | None = None
    learning_curve: LearningCurve | None = None
    training: Training = Field(default_factory=Training)
    optimisers: Optimisers | None = None
    decay_law: DecayLaw | None = None
    waiting_times: WaitingTimes | None = None
    quick: dict[str, Any] = Field(default_factory=dict, description="overrides under --quick")

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
            raise ValueError("string should match the form of a file's name, small letters a-z, "
                             "digits, . and - alone, as ising-2d-quench")
        return name


_SECTIONS: dict[str, type[BaseModel]] = {
    "observables": Observables,
    "data": Data,
    "event": Event,
    "density_of_states": DensityOfStates,
    "thermodynamics": Thermodynamics,
    "sample": Sample,
    "finite_size": FiniteSize,
    "phase_diagram": PhaseDiagram,
    "relaxation": Relaxation,
    "langevin": Langevin,
    "neuron_diagram": NeuronDiagram,
    "nucleation": Nucleation,
    "memorisation_gap": MemorisationGap,
    "learning_curve": LearningCurve,
    "training": Training,
    "optimisers": Optimisers,
    "decay_law": DecayLaw,
    "waiting_times": WaitingTimes,
}


READS: dict[str, tuple[str, ...]] = {
    "compare_accounts": ("waiting_times", "event", "training", "relaxation", "density_of_states",
                         "thermodynamics"),
    "decay_law": ("decay_law", "training", "event"),
    "density_of_states": ("density_of_states", "thermodynamics", "sample"),
    "effective_potential": ("density_of_states", "thermodynamics", "sample", "langevin"),
    "finite_size": ("finite_size", "density_of_states"),
    "learning_curve": ("learning_curve", "density_of_states", "relaxation"),
    "memorisation_gap": ("memorisation_gap", "langevin"),
    "nucleation": ("nucleation", "langevin"),
    "optimisers": ("optimisers", "training", "event"),
    "phase_diagram": ("phase_diagram", "neuron_diagram", "langevin", "learning_curve",
                      "density_of_states"),
    "relaxation": ("relaxation",),
    "sample": ("sample", "thermodynamics"),
    "training": ("training", "event"),
    "waiting_times": ("waiting_times", "event", "training"),
}
"""Sections of settings that each script reads; [observables] and [data] belong to the system."""


@dataclasses.dataclass
class Card:
    """A validated card: what the file and ``--set`` say, and the disorder drawn or read."""

    model: CardModel
    parameters: Any  # of the schema of its kind; None where the user's code was not executed
    arrays: dict[str, np.ndarray]
    folder: Path
    text: str  # the effective TOML
    code_path: Path | None = None

    @property
    def name(self) -> str:
        """The card's name."""
        return self.model.name

    @property
    def family(self) -> str:
        """Which protocols fit: "discrete", "continuous", "network", "overdamped", "constrained"."""
        return self.model.family or systems.FAMILY.get(self.model.kind, "discrete")

    @property
    def size(self) -> int:
        """The system's size, as it is named in file names (L, N or p)."""
        return self.parameters.size(self.arrays)

    @property
    def code_sha256(self) -> str:
        """Hash of the user's own code, empty where the card names none."""
        return hashlib.sha256(self.code_path.read_bytes()).hexdigest() if self.code_path else ""

    def build(self, arrays: dict[str, np.ndarray] | None = None):
        """The system on which kernels run, with the card's disorder or that of another sample.

        Raises
        ------
        InputError
            If the parameters make no system, or one that does not fit into memory, or if the
            user's own system disagrees with itself.
        """
        try:
            system = self.parameters.build(self.arrays if arrays is None else arrays)
            if self.code_path is not None:
                from phasegrok.systems.checks import check_system

                check_system(system, self.family)
            return system
        except ValueError as error:
            raise InputError(f"{self.name}: {error}") from error
        except MemoryError as error:
            raise InputError(f"{self.name}: does not fit into memory: {error}") from error

    def samples(self, number: int) -> list[dict[str, np.ndarray]]:
        """Disorder of ``number`` samples: this card's own, and others drawn after its seed.

        Sample k is drawn from a seed that is the k-th descendant of ``disorder_seed``.

        Raises
        ------
        InputError
            If more than one is asked for and the card's disorder is not drawn.
        """
        if number == 1:
            return [self.arrays]
        if self.model.data is not None:
            raise InputError(f"{self.name}: its disorder is read from {self.model.data.file}, "
                             "which is one sample and has no --samples")
        if "disorder_seed" not in type(self.parameters).model_fields:
            raise InputError(f"{self.name}: a system without disorder has no --samples")
        drawn = [self.arrays]
        for k in range(1, number):
            sequence = np.random.SeedSequence(self.parameters.disorder_seed, spawn_key=(k,))
            seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
            drawn.append(self.parameters.model_copy(update={"disorder_seed": seed}).disorder(None))
        return drawn

    def resized(self, size: int) -> "Card":
        """The same card at another size (parameter L or N)."""
        key = "L" if "L" in self.model.parameters else "N"
        if key not in self.model.parameters:
            raise InputError(f"{self.name}: a system without parameter L or N has no sizes")
        return self.changed({f"parameters.{key}": size})

    def changed(self, overrides: dict[str, Any], section: str = "") -> "Card":
        """The card with other values, as ``--set`` makes it.

        Disorder stays where neither parameters nor data are changed, and is drawn anew otherwise.

        Parameters
        ----------
        overrides : dict
            Dotted or bare key -> value, as ``{"L": 16, "sample.temperatures": "2.1:2.4:7"}``.
        section : str
            The section that a bare key means where several have it.

        Raises
        ------
        InputError
            One line for each mistake.
        """
        model = from_text(self.text, self.folder, overrides, arrays={}, section=section).model
        same = all(getattr(model, key) == getattr(self.model, key)
                   for key in ("kind", "code", "parameters", "data"))
        return from_text(self.text, self.folder, overrides, arrays=self.arrays if same else None,
                         section=section)


# --- finding and reading --------------------------------------------------------------------------


def folders() -> list[Path]:
    """Where cards are looked up: ./models, the repository, the installed share."""
    return [
        Path("models"),
        _REPOSITORY / "models",
        Path(sys.prefix) / "share" / "phasegrok" / "models",
    ]


def available() -> dict[str, Path]:
    """Every card that can be named, and its file; earlier folders win."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(reference: str) -> Path:
    """The file of a card given by path or by name.

    Raises
    ------
    InputError
        If there is none; names the nearest ones.
    """
    if Path(reference).is_file():
        return Path(reference)
    known = available()
    if reference in known:
        return known[reference]
    raise InputError(f"there is no card {reference}{_did_you_mean(reference, known)}; "
                     "`phasegrok models` lists them")


def load(reference: str, overrides: dict[str, Any] | None = None, quick: bool = False,
         execute_code: bool = True, arrays: dict[str, np.ndarray] | None = None,
         section: str = "", trust: bool = False, script: str = "") -> Card:
    """Read and validate a card.

    Parameters
    ----------
    reference : str
        Path or name.
    overrides : dict
        ``--set``: dotted or bare key -> value.
    quick : bool
        Apply the card's own ``[quick]`` overrides, before ``--set``.
    execute_code : bool
        Whether the user's code that the card names may be executed.
    arrays : dict, optional
        Disorder of an earlier run, instead of drawing or reading it.
    section : str
        The section that a bare key of ``--set`` means where several have it: the script's own.
    trust : bool
        Whether code outside the card's folder may be executed, too.
    script : str
        Refuse keys of ``--set`` in sections that this script of `READS` does not read.

    Raises
    ------
    InputError
        One line for each mistake.
    """
    path = find(reference)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    return from_text(text, path.parent, overrides, quick, execute_code, arrays, str(path), section,
                     trust, script)


def from_text(text: str, folder: Path, overrides: dict[str, Any] | None = None,
              quick: bool = False, execute_code: bool = True,
              arrays: dict[str, np.ndarray] | None = None, source: str = "card",
              section: str = "", trust: bool = False, script: str = "") -> Card:
    """Validate a card given as TOML text; see :func:`load`."""
    if len(text) > _LONGEST_CARD:
        raise InputError(f"{source}: {len(text)} characters; a card has {_LONGEST_CARD} at most")
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source}: not valid TOML: {error}") from error
    overrides = overrides or {}
    raw |= {key: overrides[key] for key in ("kind", "code") if key in overrides}
    trust = trust or "code" in overrides  # the command line names it
    schema, code_path, messages = _schema_of(raw, folder, execute_code, source, trust)
    small = raw.get("quick")
    if isinstance(small, dict):  # its keys are checked even where they are not applied
        messages += _apply(raw if quick else copy.deepcopy(raw), small, schema, f"{source}: quick:")
    known_for = _what_is_known_of(raw)
    messages += _apply(raw, overrides, schema, "--set", section, script)
    if _what_is_known_of(raw) != known_for:
        raw.pop("control", None)  # the known verdict is that of the card's own setting
    model, parameters, more = _validate(raw, schema, source)
    messages += more
    if model is not None and parameters is not None and not messages:
        messages += [f"{source}: {line}" for line in _beyond_range(model)]
    if messages or model is None:
        raise InputError(*messages[:_MOST_MESSAGES], *(
            [f"{source}: {len(messages) - _MOST_MESSAGES} further mistakes"]
            if len(messages) > _MOST_MESSAGES else []))
    if arrays is None and parameters is not None:
        arrays = _disorder(model, parameters, folder, source)
    return Card(model, parameters, arrays or {}, folder, to_toml(raw), code_path)


def _what_is_known_of(raw) -> tuple:
    """What the known verdict of a control depends on."""
    waiting = raw.get("waiting_times")
    temperatures = waiting.get("temperatures") if isinstance(waiting, dict) else None
    return copy.deepcopy((raw.get("kind"), raw.get("parameters"), raw.get("event"), temperatures))


def _schema_of(raw, folder, execute_code, source, trust):
    """Schema of the parameters (None: unknown kind, or user's code not to be executed)."""
    code = raw.get("code")
    if code is not None:
        return _user_schema(str(code), folder, execute_code, source, trust)
    kind = raw.get("kind")
    if not isinstance(kind, str):
        return None, None, []  # missing or no text: the schema of the card says so
    if kind not in systems.KINDS:
        message = f"{source}: kind: there is no kind {kind!r}"
        return None, None, [message + _did_you_mean(str(kind), systems.KINDS)]
    return systems.parameters_class(kind), None, []


_user_files: set[Path] = set()  # every file of user's code that this process executed


def _user_schema(code, folder, execute_code, source, trust):
    file, _, name = code.partition(":")
    path = (folder / file).resolve()
    if not name or not path.is_file():
        return None, None, [f'{source}: code: "{code}" is not FILE.py:CLASS of a file in {folder}']
    if not execute_code:
        return None, path, []
    if not (trust or path in _user_files or path.is_relative_to(folder.resolve())):
        return None, path, [f"{source}: code: {path} is outside the card's folder: read it, and "
                            "give --trust to execute it"]
    from phasegrok.compiled import use_sources

    _user_files.add(path)
    use_sources(*sorted(_user_files))
    module_name = f"phasegrok_card_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # compiled kernels are stored under this name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        return None, path, [f"{source}: code: {path.name} fails: {type(error).__name__}: {error}"]
    if not hasattr(module, name):
        return None, path, [f"{source}: code: {path.name} has no class {name}"]
    schema = getattr(module, name)
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return None, path, [f"{source}: code: {name} of {path.name} is no pydantic model of the "
                            "system's parameters"]
    missing = [part for part in ("disorder", "size", "build") if not hasattr(schema, part)]
    if missing:
        return None, path, [f"{source}: code: {name} of {path.name} has no {', '.join(missing)}"]
    return schema, path, []


def _validate(raw, schema, source):
    messages, model, parameters = [], None, None
    try:
        model = CardModel.model_validate(raw)
    except ValidationError as error:
        messages += _lines(source, (), error, CardModel)
    given = raw.get("parameters")
    if schema is not None and isinstance(given, dict):
        try:
            parameters = schema.model_validate(given)
        except ValidationError as error:
            messages += _lines(source, ("parameters",), error, schema)
    return model, parameters, messages


def _lines(source, prefix, error, schema) -> list[str]:
    """One line for each of the first mistakes, and empty ones that only count the others."""
    found = error.errors(include_url=False)
    return [_one_line(source, prefix, item, schema) if k < _MOST_MESSAGES else ""
            for k, item in enumerate(found)]


def _one_line(source, prefix, item, schema) -> str:
    place = [*prefix, *(str(part) for part in item["loc"])]
    text = item["msg"].removeprefix("Value error, ")
    where = ".".join(map(_shortened, place)) or "card"
    if item["type"] == "extra_forbidden":
        section = schema if prefix or len(place) == 1 else _SECTIONS.get(place[0], schema)
        return f"{source}: {where}: unknown key{_did_you_mean(place[-1], section.model_fields)}"
    if item["type"] == "missing":
        return f"{source}: {where}: is missing"
    value = item.get("input")
    shown = "" if isinstance(value, dict) else f" (got {_shortened(repr(value))})"
    return f"{source}: {where}: {text[0].lower()}{text[1:]}{shown}"


def _beyond_range(model) -> list[str]:
    """Thresholds and starts that the order parameter of the kind cannot have."""
    if model.code is not None:
        return []  # of the user's own system only its build says which values occur
    low, high = systems.order_range(model.kind)
    lines = []
    if model.event is not None and not low < model.event.threshold <= high:
        what = "is never reached" if model.event.threshold > high else "is reached from the start"
        lines.append(f"event.threshold: {model.event.threshold:g} {what}, as the observable lies "
                     f"between {low:g} and {high:g}")
    for section in ("relaxation", "waiting_times"):
        start = getattr(getattr(model, section), "start", None)
        if start is not None and not low <= start <= high:
            lines.append(f"{section}.start: {start:g} cannot be, as the order parameter lies "
                         f"between {low:g} and {high:g}")
    return lines


def _disorder(model, parameters, folder, source) -> dict[str, np.ndarray]:
    try:
        rows = read_rows(folder / model.data.file) if model.data else None
        arrays = parameters.disorder(rows)
        if rows is not None and not arrays:
            raise ValueError(f"data.file: {model.kind} with these parameters reads no file")
        return arrays
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def read_rows(path: Path) -> np.ndarray:
    """Numbers of a CSV (a header line is allowed) or of the first array of an NPZ file.

    Raises
    ------
    ValueError
        If the file is missing or is not a table of numbers.
    """
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    try:
        rows = _npz_rows(path) if path.suffix == ".npz" else _csv_rows(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"the data file {path} is not a table of numbers: {error}") from error
    if rows.size == 0:
        raise ValueError(f"the data file {path} has no rows")
    return rows


def _npz_rows(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        if not arrays.files:
            raise ValueError("it holds no array")
        return np.asarray(arrays[arrays.files[0]], dtype=float)


_SEPARATORS = (";", ",", "\t", None)  # None: blanks
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]+)?|nan|[+-]?inf", re.I)


def _csv_rows(path: Path) -> np.ndarray:
    """Rows of a text file; a first row that is shorter, of counts, is filled up with NaN."""
    lines = [line.partition("#")[0].strip() for line in read_text(path).splitlines()]
    numbered = [(k, line) for k, line in enumerate(lines, 1) if line and line[0] != "%"]
    if numbered and not any(_numbers(cell.split()) for separator in _SEPARATORS
                            for cell in numbered[0][1].split(separator)):
        numbered = numbered[1:]  # a header; a first row with one bad number is an error instead
    if not numbered:
        return np.empty((0, 0))
    try:
        return np.loadtxt([line for _, line in numbered], delimiter=",", ndmin=2, comments=None)
    except ValueError:
        return _rows_of(numbered)


def _rows_of(numbered: list[tuple[int, str]]) -> np.ndarray:
    """Numbers of the first separator, and sign of decimals, with which every row has them."""
    wrong = ""
    for separator in _SEPARATORS:
        if separator and not any(separator in line for _, line in numbered):
            continue
        rows = []
        for k, line in numbered:
            row = _numbers(line.split(separator), decimal_comma=separator != ",")
            if not row:
                wrong = wrong or f'line {k} is "{_shortened(line)}"'
                break
            rows.append(row)
        else:
            width = len(rows[-1])
            if len(rows) > 1 and len(rows[0]) < width:
                rows[0] += [np.nan] * (width - len(rows[0]))
            if all(len(row) == width for row in rows):
                return np.array(rows)
            k = next(k for k, row in enumerate(rows) if len(row) != width)
            wrong = wrong or (f"line {numbered[k][0]} has {len(rows[k])} numbers, and the last row "
                              f"has {width}")
    raise ValueError(f"{wrong}; give rows of numbers, as 0, 1, 0.5, separated by commas, "
                     "semicolons or blanks")


def _numbers(cells: list[str], decimal_comma: bool = False) -> list[float]:
    """The numbers in ``cells``, empty if one is none; empty cells at the end do not count."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    if decimal_comma:
        cells = [cell.replace(",", ".") for cell in cells]
    if not all(map(_NUMBER.fullmatch, cells)):
        return []
    return [float(cell.lower().replace("d", "e")) for cell in cells]


# --- --set ----------------------------------------------------------------------------------------


def parse_assignments(texts: list[str]) -> dict[str, Any]:
    """``["L=8", "event.threshold=0.5"]`` -> {"L": 8, "event.threshold": 0.5}.

    Raises
    ------
    InputError
        For a text without an equals sign.
    """
    result: dict[str, Any] = {}
    for text in map(as_typed, texts):
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {text}: give it as key=value, for example --set L=8")
        try:
            result[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            result[key.strip()] = value.strip()
    return result


def _known_keys(schema) -> dict[str, list[str]]:
    """Every dotted key of a card, by its last part."""
    keys = {name: [name] for name in CardModel.model_fields
            if name not in _SECTIONS and name not in ("parameters", "quick")}
    tables = dict(_SECTIONS) | ({"parameters": schema} if schema is not None else {})
    for section in ("parameters", *_SECTIONS):
        if section in tables:
            for name in tables[section].model_fields:
                keys.setdefault(name, []).append(f"{section}.{name}")
    return keys


def _apply(raw, overrides, schema, label, section="", script="") -> list[str]:
    """Put ``overrides`` into the raw card; one message for each key that is unknown or unclear."""
    reads = READS.get(script, tuple(_SECTIONS))
    unread = set(_SECTIONS) - {*reads, "observables", "data"}
    keys = _known_keys(schema)
    dotted = {full for fulls in keys.values() for full in fulls}
    messages = []
    for key, value in overrides.items():
        here = [full for full in keys.get(key, []) if full.rpartition(".")[0] not in unread]
        if key in dotted:
            full = key
        elif schema is None and key.startswith("parameters."):
            full = key  # the parameters of code that was not executed: checked when it is
        elif schema is None and key not in keys:
            continue  # perhaps a parameter; the missing schema has its own message
        elif len(here or keys.get(key, [])) == 1:
            full = (here or keys[key])[0]
        elif here:
            preferred = [f"parameters.{key}", f"{section}.{key}"]
            given = [name for name in here if name.rpartition(".")[0] in raw]
            full = next((name for name in preferred if name in here),
                        given[0] if len(given) == 1 else "")
            if not full:
                messages.append(f"{label} {key}: which of {', '.join(here)}?")
                continue
        elif key in keys:
            full = keys[key][0]  # of a section that is not read, as all of them are
        elif len(messages) < _MOST_MESSAGES:
            messages.append(f"{label} {_shortened(key)}: unknown key"
                            f"{_did_you_mean(key, [*keys, *dotted])}")
            continue
        else:
            messages.append("")  # counted alone
            continue
        table_name, _, name = full.rpartition(".")
        if table_name in unread:
            messages.append(f"{label} {key}: {script} reads {_sections(reads)} of a card, not "
                            f"[{table_name}]")
            continue
        table = raw.setdefault(table_name, {}) if table_name else raw
        if isinstance(table, dict):
            table[name] = value
    return messages


def _sections(names) -> str:
    return " and ".join(filter(None, [", ".join(f"[{name}]" for name in names[:-1]),
                                      f"[{names[-1]}]"]))


def _did_you_mean(word: str, known) -> str:
    """Names that are the word in other letters, L for l, or else those that are near to it."""
    if len(word) > _LONGEST_SHOWN:  # comparing takes a time that grows as the square
        return ""
    near = [name for name in known if name.lower() == word.lower()] or (
        difflib.get_close_matches(word, list(known), n=3, cutoff=0.5))
    return f"; did you mean {' or '.join(near)}?" if near else ""


# --- TOML out -------------------------------------------------------------------------------------


_SHORT_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\u{ord(character):04x}" if character < " " or character == "\x7f" else character


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    return repr(value)  # int, and float with inf and nan, are written alike


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else (
        _toml_value(key))


def to_toml(raw: dict[str, Any]) -> str:
    """The effective card as TOML: plain keys first, then one table a section."""
    lines = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in raw.items()
             if not isinstance(v, dict)]
    for section, table in raw.items():
        if isinstance(table, dict):
            lines += ["", f"[{_toml_key(section)}]"]
            lines += [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"
