"""Settings of training, and as kernels take them."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phasegrok.networks.compiled.kernels import inner
from phasegrok.networks.updates.filters import FILTERS, LAMBDA
from phasegrok.networks.updates.table import OPTIMISERS, VELOCITIES

ANNEAL = ("none", "linear", "exponential")
_CONSTANT, _LINEAR, _EXPONENTIAL = range(3)


class Settings(BaseModel):
    """An optimiser with weight noise, on the whole training set or on minibatches."""

    model_config = ConfigDict(extra="forbid")

    optimiser: Literal["adamw", "adam", "sgd", "baoab", "ghmc", "wand"] = Field(
        "adamw", description="the update")
    learning_rate: float = Field(
        1e-3, gt=0.0, description="learning rate lr, per step; step of time where there are "
        "velocities"
    )
    weight_decay: float = Field(
        1.0, ge=0.0, description="weight decay wd; adamw: weights shrink by lr wd a step; adam, "
        "sgd: wd theta is added to the gradient"
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd")
    beta_1: float = Field(0.9, ge=0.0, lt=1.0, description="memory of the gradient's mean, a step")
    beta_2: float = Field(0.98, ge=0.0, lt=1.0, description="memory of its square, a step")
    epsilon: float = Field(1e-8, gt=0.0, description="added to the root of the second moment")
    batch: int = Field(0, ge=0, description="pairs of a minibatch; 0: the whole training set")
    warmup: int = Field(10, ge=0, description="steps in which the learning rate rises linearly")
    temperature: float = Field(
        0.0, ge=0.0, description="T of the weight noise, variance 2 lr T a step; in units of energy"
    )
    anneal: Literal["none", "linear", "exponential"] = Field("none", description="schedule of T")
    final_temperature: float = Field(0.0, ge=0.0, description="T at the end of the schedule")
    anneal_steps: int = Field(1, ge=1, description="steps of the schedule")
    friction: float = Field(0.1, gt=0.0, le=1.0, description="velocity lost a step, baoab to wand")
    deposit: float = Field(
        1e-3, ge=0.0, description="wand: height of a deposit at first, in units of ln E; 0: none"
    )
    deposit_steps: int = Field(
        10_000, ge=1, description="wand: steps after which deposits fall as one over the time"
    )
    x_range: tuple[float, float] = Field((-20.0, 3.0), description="wand: x = ln E of the deposits")
    x_bins: int = Field(230, ge=4, description="wand: intervals of x")
    eval_every: int = Field(10, ge=1, description="steps between evaluations; step 0 is the first")
    filter: Literal["none", "ema", "ma"] = Field("none", description="filter of the gradient")
    filter_alpha: float = Field(0.98, ge=0.0, lt=1.0, description="memory of the ema, a step")
    filter_window: int = Field(100, ge=1, description="gradients in the ma")
    filter_lambda: float | None = Field(
        None, ge=0.0, description="strength lambda; None: 2 for ema, 5 for ma"
    )
    initial_scale: float = Field(1.0, gt=0.0, description="factor of all weights at the start")
    fixed_norm: bool = Field(False, description="keep the norm of theta at that of the start")
    event_threshold: float | None = Field(
        None, gt=0.0, le=1.0, description="test accuracy at which the network has generalised"
    )
    event_hold: int = Field(
        1, ge=1, description="consecutive evaluations at or above the threshold that make the event"
    )
    stop_at_event: bool = Field(True, description="end the run when the event has happened")
    engine: Literal["compiled", "torch"] = Field(
        "compiled", description="of an ensemble: one replica a core, or stacked")
    device: Literal["cpu", "cuda"] = Field("cpu", description="of the engine torch")

    @model_validator(mode="after")
    def _fit_together(self):
        T, last = self.temperature, self.final_temperature
        if self.optimiser in VELOCITIES and self.fixed_norm:
            raise ValueError(f"{self.optimiser} has velocities, which leave the sphere: leave out "
                             "fixed_norm")
        if self.optimiser == "ghmc" and (self.batch or self.filter != "none"):
            raise ValueError("ghmc needs the gradient of the whole training set as it is: leave "
                             "out batch and filter")
        if self.optimiser == "ghmc" and T == 0.0:
            raise ValueError("ghmc needs a temperature above zero")
        if self.anneal == "exponential" and not min(T, last) > 0.0:
            raise ValueError("an exponential schedule begins and ends above zero temperature")
        if not self.x_range[0] < self.x_range[1]:
            raise ValueError("x_range must ascend")
        return self


class Constants(NamedTuple):
    """What kernels read of the settings."""

    lr: float
    wd: float
    beta_1: float
    beta_2: float
    epsilon: float
    batch: int
    warmup: int
    temperature: float
    eval_every: int
    threshold: float
    hold: int
    stop: bool
    scheme: int  # place in OPTIMISERS
    momentum: float
    filter: int  # place in FILTERS
    alpha: float
    strength: float
    fixed_norm: bool
    anneal: int  # place in ANNEAL
    final_temperature: float
    anneal_steps: int
    friction: float
    deposit: float
    deposit_steps: int
    x_low: float
    x_high: float


@inner
def temperature_at(c, k):
    """T of step k."""
    s = min(1.0, k / c.anneal_steps)
    if c.anneal == _LINEAR:
        return (1.0 - s) * c.temperature + s * c.final_temperature
    if c.anneal == _EXPONENTIAL:
        return c.temperature * (c.final_temperature / c.temperature) ** s
    if c.anneal != _CONSTANT:
        raise ValueError("no such schedule of the noise: write it in settings.temperature_at")
    return c.temperature


def constants_of(settings: Settings) -> Constants:
    """The settings as kernels take them."""
    s = settings
    threshold = np.inf if s.event_threshold is None else s.event_threshold
    strength = LAMBDA[s.filter] if s.filter_lambda is None else s.filter_lambda
    return Constants(
        s.learning_rate, s.weight_decay, s.beta_1, s.beta_2, s.epsilon, s.batch, s.warmup,
        s.temperature, s.eval_every, float(threshold), s.event_hold, s.stop_at_event,
        OPTIMISERS.index(s.optimiser), s.momentum, FILTERS.index(s.filter), s.filter_alpha,
        strength, s.fixed_norm, ANNEAL.index(s.anneal), s.final_temperature, s.anneal_steps,
        s.friction, s.deposit, s.deposit_steps, *s.x_range,
    )  # fmt: skip
