"""The sections of a card: which settings there are, their defaults and their bounds."""

import re
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from phasegrok.cards.values import (
    Dynamics,
    Integers,
    Numbers,
    Section,
    did_you_mean,
    shortened,
    temperature_grid,
)
from phasegrok.networks.training.settings import Settings as Training
from phasegrok.networks.training.snapshots import Snapshots
from phasegrok.networks.updates.table import UPDATES


class Observables(Section):
    """What the energy and the order parameter of this system are, in words."""

    energy: str
    order_parameter: str


class Event(Section):
    """The event whose waiting time is taken: the observable stays >= threshold for ``hold``."""

    observable: str
    threshold: float = Field(description="per spin, or as the order parameter is defined")
    hold: float = Field(0.0, ge=0.0, description="sweeps, units of time, or steps")


class Data(Section):
    """A file with the quenched disorder, relative to the card: CSV or NPZ."""

    file: str


class DensityOfStates(Section):
    """Settings of the density of states."""

    method: Literal["auto", "ladder", "wang-landau", "samc"] = Field(
        "auto", description="ladder of temperatures, or Wang-Landau; auto: a ladder where it fits")
    sweeps: int = Field(200_000, ge=2, description="sweeps of each walker, over which its rungs or "
                        "windows take turns")
    walkers: int = Field(8, ge=1, le=1024, description="independent ladders, of rungs or windows")
    windows: int = Field(0, ge=0, le=64, description="of energy, with Wang-Landau; 0: by nats")
    fold: bool = Field(False, description="take g(E) = g(-E) for granted; with a ladder only")
    bin_width: float = Field(0.0, ge=0.0, description="width of bins of energy, in its units; 0: "
                             "levels, or where there are none a 32nd of the spread of E")

    @model_validator(mode="before")
    @classmethod
    def _schedule(cls, given: Any) -> Any:
        """``schedule`` of cards before there was a choice of methods."""
        if isinstance(given, dict) and "schedule" in given:
            given = dict(given)
            given.setdefault("method", {"halving": "wang-landau"}.get(
                given["schedule"], given["schedule"]))
            del given["schedule"]
        return given


class Thermodynamics(Section):
    """The temperatures at which averages and the effective potential are given."""

    temperatures: str = Field(description="first:last:number, or a list")

    @field_validator("temperatures")
    @classmethod
    def _parses(cls, text: str) -> str:
        temperature_grid(text)
        return text


class Sample(Section):
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


class FiniteSize(Section):
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
    landscape: Literal["density-of-states", "canonical"] = Field(
        "density-of-states", description="what measures the barriers; canonical: replica exchange "
        "at all temperatures, with dynamics as given, where barriers are low enough to be crossed")
    coordinate: Literal["energy", "order-parameter"] = Field(
        "energy", description="of the barrier")

    @field_validator("landscape", mode="before")
    @classmethod
    def _renamed(cls, name: Any) -> Any:
        """The name from before there was a choice of methods."""
        return "density-of-states" if name == "wang-landau" else name

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


class PhaseDiagram(Section):
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


class Relaxation(Section):
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


class Langevin(Section):
    """Settings of Langevin chains.

    Of a continuous system half of them begin aligned; networks run under a measure of their weights
    (measure, radius, temperature), and all begin from it.
    """

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
    measure: Literal["sphere", "spheres", "box", "gaussian"] | None = Field(
        None, description="of the weights of a network; spheres: one a matrix")
    radius: float | None = Field(None, gt=0.0, description="root mean square norm of the weights "
                                 "(of each matrix, in spheres) over that at the start of training")
    temperature: float | None = Field(None, gt=0.0, description="T of a network, conjugate to its "
                                      "mean train loss")
    engine: Literal["compiled", "torch"] = Field("compiled", description="of a network's gradient")


class NeuronDiagram(Section):
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


class Nucleation(Section):
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


class MemorisationGap(Section):
    """Settings of train and test loss at several numbers of patterns, with [langevin]."""

    patterns: Integers = Field(min_length=1, description="numbers of patterns n, ascending")
    kappa: float = Field(gt=0.0, description="sigma2/n, the same at every n, on which alone the "
                         "limit of the equivalent kernel depends")
    samples: int = Field(4, ge=2, le=10_000, description="data sets at each n")
    chains: int = Field(2, ge=2, le=2**16, description="chains on each, half of them aligned")
    steps: int = Field(ge=1, description="steps of each chain, recorded from the first")
    equilibration: int = Field(ge=0, description="steps that the averages leave out")


class LearningCurve(Section):
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


OPTIMISERS: dict[str, dict[str, Any]] = {
    **{name: {"optimiser": name} for name in UPDATES},
    "sgld": {"optimiser": "sgd", "momentum": 0.0},
    "wand": {"optimiser": "wand", "weight_decay": 0.0},
    "sphere": {"optimiser": "adamw", "weight_decay": 0.0, "fixed_norm": True},
}
"""Settings of [training] that a name of [optimisers] means; +ema and +ma add a filter."""


class Optimisers(Section):
    """Optimisers to compare on one network, split and set of initial weights, with [training]."""

    names: list[str] = Field(min_length=1, description="an optimiser of [training], sphere (adamw "
                             "without decay at fixed norm), sgld (sgd without momentum) or a name "
                             "that settings explain, with +ema or +ma where the gradient is "
                             "filtered; the first is the reference")
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
                raise ValueError(one_line(name, (), error.errors()[0], Training)) from None
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


class DecayLaw(Section):
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


class Motion(Section):
    """How plain coordinates move, in every protocol: Langevin dynamics with a Metropolis test."""

    step: float = Field(gt=0.0, description="time of a step; shorter where too few are accepted")
    friction: float | None = Field(None, gt=0.0, description="gamma, with inertia of mass 1; none: "
                                   "overdamped")


class WaitingTimes(Section):
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
    snapshots: Snapshots = Field(
        "none", description="network: steps at which the weights of all clones are kept, as in "
        "[training]; events: the checkpoint, and where a clone has had the event")

    @field_validator("temperatures")
    @classmethod
    def _positive(cls, values: list[float]) -> list[float]:
        if any(not t > 0.0 for t in values):
            raise ValueError("temperatures must be positive (the noise-free run is always made)")
        return values


class CardModel(Section):
    """The whole card; ``parameters`` is checked by the schema of its kind."""

    name: str = Field(description="as the file's name: small letters a-z, digits, . and -")
    title: str
    kind: str
    reference: str = Field(description="arXiv id, DOI, or where the setting comes from")
    units: str = "reduced, k_B = 1"
    family: Literal["discrete", "continuous", "hamiltonian", "network", "overdamped",
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
    motion: Motion | None = None
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


SECTIONS: dict[str, type[BaseModel]] = {
    "observables": Observables,
    "data": Data,
    "event": Event,
    "density_of_states": DensityOfStates,
    "thermodynamics": Thermodynamics,
    "sample": Sample,
    "finite_size": FiniteSize,
    "phase_diagram": PhaseDiagram,
    "relaxation": Relaxation,
    "motion": Motion,
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
                         "thermodynamics", "sample", "motion"),
    "decay_law": ("decay_law", "training", "event"),
    "density_of_states": ("density_of_states", "thermodynamics", "sample", "motion"),
    "effective_potential": ("density_of_states", "thermodynamics", "sample", "langevin", "motion"),
    "finite_size": ("finite_size", "density_of_states"),
    "learning_curve": ("learning_curve", "density_of_states", "relaxation", "motion"),
    "memorisation_gap": ("memorisation_gap", "langevin"),
    "nucleation": ("nucleation", "langevin"),
    "optimisers": ("optimisers", "training", "event"),
    "phase_diagram": ("phase_diagram", "neuron_diagram", "langevin", "learning_curve",
                      "density_of_states"),
    "relaxation": ("relaxation", "motion"),
    "sample": ("sample", "thermodynamics", "langevin", "motion"),
    "training": ("training", "event"),
    "waiting_times": ("waiting_times", "event", "training", "motion"),
}
"""Sections of settings that each script reads; [observables] and [data] belong to the system."""


def one_line(source, prefix, item, schema) -> str:
    """A mistake that pydantic found, as one sentence for the user."""
    place = [*prefix, *(str(part) for part in item["loc"])]
    text = item["msg"].removeprefix("Value error, ")
    where = ".".join(map(shortened, place)) or "card"
    if item["type"] == "extra_forbidden":
        section = schema if prefix or len(place) == 1 else SECTIONS.get(place[0], schema)
        return f"{source}: {where}: unknown key{did_you_mean(place[-1], section.model_fields)}"
    if item["type"] == "missing":
        return f"{source}: {where}: is missing"
    value = item.get("input")
    shown = "" if isinstance(value, dict) else f" (got {shortened(repr(value))})"
    return f"{source}: {where}: {text[0].lower()}{text[1:]}{shown}"
