"""Settings of training: the section [training] of a card, and its schedules of rate and noise."""

import inspect
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phasegrok import own_code
from phasegrok.networks.training.snapshots import Snapshots
from phasegrok.networks.training.start import StartFrom
from phasegrok.networks.updates.table import UPDATES, row_of

_SCHEDULES = ("constant", "linear", "cosine")
_POINTS = 1000  # steps at which a schedule of a user's own is tried

RENAMED = {"noise": "temperature", "final_noise": "final_temperature"}
"""Earlier names of keys, which cards and run files still have."""


class Settings(BaseModel):
    """Settings of the training of a network: optimiser, filter of the gradient, initial weights."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    optimiser: str = Field(
        "adamw", description="adamw, lion, muon: decoupled decay; adam, sgd, sam (sharpness-aware) "
        "and the others: decay in the gradient; baoab, ghmc: Langevin dynamics with velocities; "
        "wand: Wang-Landau molecular dynamics in ln loss; FILE.py:NAME: a torch.optim.Optimizer")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="of a torch.optim.Optimizer, beside the keys below that "
        "it has arguments for")
    steps: int = Field(3000, ge=1, description="steps of a network")
    batch: int = Field(0, ge=0, description="pairs of a minibatch; 0: the whole training set")
    lr: float = Field(1e-3, gt=0.0, description="learning rate; baoab, ghmc, wand: step of time")
    weight_decay: float = Field(1.0, ge=0.0, description="wd; adamw: weights shrink by lr wd a "
                                "step; adam, sgd: wd theta is added to the gradient")
    momentum: float | None = Field(
        None, ge=0.0, lt=1.0, description="of sgd, sam and muon; none: 0.9, of muon 0.95")
    beta1: float | None = Field(
        None, ge=0.0, lt=1.0, description="memory of the gradient's mean, a step; none: 0.9")
    beta2: float | None = Field(
        None, ge=0.0, lt=1.0, description="memory of its square, of lion that of the mean; none: "
        "0.98, of lion 0.99")
    rho: float | None = Field(
        None, ge=0.0, description="sam: radius of the ascent; none: 0.05")
    epsilon: float | None = Field(
        None, gt=0.0, description="added to the root of the second moment; none: 1e-8")
    warmup: int = Field(10, ge=0, description="steps in which the learning rate rises linearly")
    schedule: str | list[tuple[float, float]] = Field(
        "constant", description="factor of the learning rate: constant; linear or cosine, from 1 "
        "after the warm-up to 0 at steps; [step, factor] pairs, linear between them; or "
        "FILE.py:NAME, a function of steps and settings")
    filter: Literal["none", "ema", "ma"] = Field(
        "none", description="Grokfast's filter of the gradient: exponential or moving average")
    filter_alpha: float = Field(0.98, ge=0.0, lt=1.0, description="memory of the ema, a step")
    filter_window: int = Field(100, ge=1, le=10_000, description="gradients in the ma; none is "
                               "added before there are so many")
    filter_lambda: float | None = Field(
        None, ge=0.0, description="how much of the average is added; none: 2 for ema, 5 for ma")
    start_from: StartFrom = Field(
        None, description="weights with which all replicas start: a run file, as run.h5 or "
        "run.h5:replica=2,step=1000, or named matrices in a .npz, .safetensors or .pt file; "
        "relative to the card, or else to the working folder; none: drawn")
    initial_scale: float = Field(1.0, gt=0.0, description="factor of all weights at the start")
    fixed_norm: bool = Field(False, description="after every step, scale the weights back to their "
                             "norm at the start")
    temperature: float = Field(
        0.0, ge=0.0, description="T of the weights, in units of the mean loss (wand: of its ln): "
        "noise of variance 2 lr T a step, or T of velocities")
    anneal: Literal["none", "linear", "exponential"] = Field(
        "none", description="schedule of T, to final_temperature at anneal_steps")
    final_temperature: float = Field(0.0, ge=0.0, description="T at the end of the schedule")
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
    snapshots: Snapshots = Field(
        "none", description="steps at which the weights of all replicas are kept: none; log:N, "
        "step 0 and N - 1 steps to the last, even in their logarithm; events, the evaluations at "
        "which a replica has memorised, has 50 % test accuracy, has generalised; or a list")
    observables: list[str] = Field(
        default_factory=list, description="FILE.py:NAME, functions of network and theta whose "
        "value is kept at every evaluation")
    engine: Literal["compiled", "torch"] = Field(
        "compiled", description="compiled: a replica a core; torch: replicas stacked on one device")
    device: Literal["cpu", "cuda"] = Field("cpu", description="of the engine torch")

    @model_validator(mode="before")
    @classmethod
    def _by_present_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {RENAMED.get(key, key) if RENAMED.get(key) not in given else key: value
                for key, value in given.items()}

    @field_validator("optimiser")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in UPDATES and not own_code.is_own(name):
            raise ValueError(f"there is no optimiser {name}: give one of {', '.join(UPDATES)}, or "
                             "FILE.py:NAME")
        return name

    @field_validator("schedule")
    @classmethod
    def _ascends(cls, schedule: Any) -> Any:
        if isinstance(schedule, str):
            if schedule not in _SCHEDULES and not own_code.is_own(schedule):
                raise ValueError(f"there is no schedule {schedule}: give one of "
                                 f"{', '.join(_SCHEDULES)}, [step, factor] pairs, or FILE.py:NAME")
            return schedule
        steps, factors = zip(*schedule) if schedule else ((), ())
        if not steps or list(steps) != sorted(set(steps)) or min(factors) < 0.0:
            raise ValueError("give [step, factor] pairs with ascending steps and no factor below 0")
        return schedule

    @field_validator("observables", mode="before")
    @classmethod
    def _are_a_list(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError(f'give a list, as observables = ["{given}"]')
        return given

    @field_validator("observables")
    @classmethod
    def _are_functions(cls, texts: list[str]) -> list[str]:
        names = [own_code.name_of(text) for text in texts]
        if not all(map(own_code.is_own, texts)) or len(set(names)) < len(names):
            raise ValueError("give each as FILE.py:NAME, and each NAME once")
        return texts

    @model_validator(mode="after")
    def _engine_runs_there(self) -> "Settings":
        if self.device == "cuda" and self.engine != "torch":
            raise ValueError('device = "cuda" needs engine = "torch"')
        return self


def check(s: Settings) -> None:
    """Refuse settings that do not go together.

    A card may have them: it is changed for one optimiser or another.

    Raises
    ------
    ValueError
        One sentence that says what to leave out.
    """
    name, row = own_code.name_of(s.optimiser), row_of(s)
    if s.arguments and not own_code.is_own(s.optimiser):
        raise ValueError("arguments are those of a torch.optim.Optimizer, and not of "
                         f"{name}: leave them out")
    if row.velocities and s.fixed_norm:
        raise ValueError(f"{name} has velocities, which leave the sphere: leave out fixed_norm")
    if row.monte_carlo and (s.batch or s.filter != "none"):
        raise ValueError(f"{name} needs the gradient of the whole training set as it is: leave "
                         "out batch and filter")
    if row.two_gradients and s.filter != "none":
        raise ValueError(f"{name} takes a second gradient, which is not filtered: leave out filter")
    if row.monte_carlo and s.temperature == 0.0:
        raise ValueError(f"{name} needs a temperature above zero")
    if s.anneal == "exponential" and not min(s.temperature, s.final_temperature) > 0.0:
        raise ValueError("an exponential schedule begins and ends above zero temperature")
    if not s.x_range[0] < s.x_range[1]:
        raise ValueError("x_range must ascend")
    _check_schedule(s)


def rates(s: Settings, k: np.ndarray) -> np.ndarray:
    """Learning rate lr_k of steps k: the warm-up min(1, (k + 1) / warmup), and then the schedule.

    Parameters
    ----------
    s : Settings
    k : (n,) int64 array
    """
    lr = s.lr * np.minimum(1.0, (k + 1.0) / max(1, s.warmup))
    if s.schedule == "constant":
        return lr
    if isinstance(s.schedule, list):
        return lr * np.interp(k, *np.transpose(s.schedule))
    if own_code.is_own(s.schedule):
        return lr * _own_factor(s, k)
    done = np.clip((k - s.warmup) / max(1, s.steps - s.warmup), 0.0, 1.0)
    return lr * (1.0 - done if s.schedule == "linear" else 0.5 * (1.0 + np.cos(np.pi * done)))


def _own_factor(s: Settings, k: np.ndarray) -> np.ndarray:
    """Factor of the learning rate at steps k by the user's function, one >= 0 for each."""
    assert isinstance(s.schedule, str)
    name = own_code.name_of(s.schedule)
    try:
        factor = np.asarray(own_code.load(s.schedule)(k.copy(), s), dtype=float)
    except Exception as error:
        raise ValueError(f"the schedule {name} fails: {type(error).__name__}: {error}") from error
    if factor.shape != k.shape or not (np.isfinite(factor) & (factor >= 0.0)).all():
        raise ValueError(f"the schedule {name} must return a finite factor >= 0 for each of the "
                         "steps, an array of their shape")
    return factor


def _check_schedule(s: Settings) -> None:
    """Refuse a schedule of a user's own that is no function of the single step."""
    if not own_code.is_own(s.schedule):
        return
    k = np.unique(np.geomspace(1, s.steps, _POINTS).astype(np.int64)) - 1
    whole = _own_factor(s, k)
    if any(not np.array_equal(_own_factor(s, k[part]), whole[part])
           for part in (slice(0, 1), slice(len(k) // 2, None))):
        raise ValueError(f"the schedule {own_code.name_of(str(s.schedule))} gives a step another "
                         "factor where others are asked for with it")


def located(s: Settings, folder: Path) -> Settings:
    """The same settings with whole paths of the user's own files, which are relative to a card."""
    def whole(text):
        return own_code.absolute(text, folder) if own_code.is_own(text) else text

    return s.model_copy(update={
        "optimiser": whole(s.optimiser), "schedule": whole(s.schedule),
        "observables": [whole(text) for text in s.observables]})


def with_own_defaults(s: Settings, folder: Path) -> Settings:
    """The same settings, with the rate and decay of a user's own optimiser where none is given.

    Those are the defaults of its constructor; what has none there stays the package's.
    """
    if not own_code.is_own(s.optimiser):
        return s
    try:
        asked = inspect.signature(own_code.load(s.optimiser, folder)).parameters
    except (TypeError, ValueError):  # no class: it is refused when it is tried out
        return s
    left = {name: asked[name].default for name in ("lr", "weight_decay")
            if name in asked and name not in s.model_fields_set}
    return s.model_copy(update={name: float(x) for name, x in left.items()
                                if isinstance(x, int | float)})


def temperatures(s: Settings, k: np.ndarray) -> np.ndarray:
    """Temperature T_k of steps k.

    With s_k = min(1, k / anneal_steps) it is T (1 - s_k) + T_final s_k (linear) or
    T (T_final / T)^s_k (exponential).  Arguments as :func:`rates`.
    """
    share = np.minimum(1.0, k / (s.anneal_steps or s.steps))
    if s.anneal == "linear":
        return (1.0 - share) * s.temperature + share * s.final_temperature
    if s.anneal == "exponential":
        return s.temperature * (s.final_temperature / s.temperature) ** share
    return np.full(len(k), s.temperature)
