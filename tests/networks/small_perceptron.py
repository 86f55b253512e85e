"""A perceptron that generalises within a thousand steps, for tests of weights."""

import numpy as np

from phasegrok.cards.library import load
from phasegrok.studies.training import training

CARD = "mlp-subtraction-31"
SMALL = {"parameters.operation": "+", "parameters.p": 13, "parameters.hidden": [32],
         "parameters.train_fraction": 0.9, "training.lr": 0.01, "training.weight_decay": 1.0,
         "training.replicas": 2, "training.eval_every": 5, "training.per_decade": 0,
         "training.batch": 40, "training.temperature": 1e-6, "event.threshold": 0.5,
         "event.hold": 10}


def setting(**values):
    """Words of the command line that set keys of a card; ``__`` stands for the dot."""
    return [word for key, value in values.items()
            for word in ("--set", f"{key.replace('__', '.')}={value}")]


WORDS = (CARD, *setting(**SMALL))


def small(engine="compiled", steps=120, **given):
    """Training with minibatches and noise; ``given`` are further keys of [training]."""
    return training(load(CARD, SMALL | {
        "training.engine": engine, "training.steps": steps,
        **{f"training.{key}": value for key, value in given.items()}}))


def run(protocol, state=None):
    """The state at the end."""
    state = protocol.init(3) if state is None else state
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 1000)
    return state


def assert_same(state, other):
    """Two states are the same to the last bit."""
    for name, value in vars(state).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)
