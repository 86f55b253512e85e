"""Training of networks: from a card to the trainer's settings and its replicas."""

import math

from pydantic import ValidationError

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.studies.common import need_family

# settings of an optimiser that the card calls as the code does
_SAME = ("optimiser", "momentum", "filter", "filter_alpha", "filter_window", "filter_lambda",
         "initial_scale", "fixed_norm", "anneal", "friction", "deposit", "deposit_steps", "x_range",
         "x_bins", "engine", "device")


def training_settings(card: Card, **changes):
    """Settings of the trainer from a card; those that do not go together are refused."""
    from phasegrok.networks.training.settings import Settings

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
        return Settings(**own | {name: getattr(t, name) for name in _SAME} | changes)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{card.name}: training: {message}") from None


def trainable(card: Card, settings):
    """The network of a card; refused where its engine does not have it."""
    from phasegrok.networks.compiled.cold import check

    system = card.build()
    try:
        check(system, settings)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from None
    return system


def training(card: Card, replicas: int | None = None, steps: int | None = None):
    """Training protocol of a network card; settings that are None are the card's."""
    need_family(card, "network", "training")
    from phasegrok.protocols.training import GENERALISED, Training

    t = card.model.training
    hold = card.model.event.hold if card.model.event else 0.0
    event = {} if not t.stop_at_event else {
        "event_threshold": GENERALISED, "event_hold": evaluations(card, hold)}
    settings = training_settings(card, **event)
    return Training(trainable(card, settings), settings, replicas or t.replicas,
                    steps or t.steps, hold, per_decade=t.per_decade)


def eval_every(card: Card) -> int:
    """Steps between two evaluations of a network."""
    return card.model.training.eval_every


def evaluations(card: Card, hold: float) -> int:
    """Consecutive evaluations of a network that span ``hold`` steps or more."""
    return 1 + math.ceil(hold / eval_every(card))
