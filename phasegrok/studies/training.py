"""Training of networks: from a card to its replicas."""

import math
import sys

from phasegrok import own_code
from phasegrok.cards.card import Card
from phasegrok.cards.values import did_you_mean
from phasegrok.errors import InputError
from phasegrok.studies.common import need_family
from phasegrok.studies.weights import start_of

_SMALL = 5_000_000  # bytes of snapshots, of which nobody need be told


def training_settings(card: Card, **changes):
    """Settings of training from a card; those that do not go together are refused."""
    from phasegrok.networks.training.settings import check, located

    t = located(card.model.training.model_copy(update=changes), card.folder)
    if t.device == "cuda":
        from torch import cuda  # only where it is asked for: the import takes a second

        if not cuda.is_available():
            raise InputError(f"{card.name}: training.device is cuda, and PyTorch finds no CUDA "
                             "device on this machine")
    try:
        check(t)
    except ValueError as error:
        raise InputError(f"{card.name}: training: {error}") from None
    return t


def trainable(card: Card, settings):
    """The network of a card; refused where its engine does not have it."""
    from phasegrok.networks.compiled.cold import check
    from phasegrok.networks.training import observables

    system = card.build()
    try:
        check(system, settings)
        observables.check(settings, system)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from None
    return system


def training(card: Card, replicas: int | None = None, steps: int | None = None):
    """Training protocol of a network card; settings that are None are the card's."""
    need_family(card, "network", "training")
    from phasegrok.networks.training.state import NO_EVENT, Event
    from phasegrok.protocols.training import GENERALISED, Training

    t = card.model.training
    hold = card.model.event.hold if card.model.event else 0.0
    event, watched = NO_EVENT, watched_observable(card)
    if card.model.event and watched:
        event = Event(card.model.event.threshold, evaluations(card, hold), t.stop_at_event, watched)
    elif t.stop_at_event:
        event = Event(GENERALISED, evaluations(card, hold))
    settings = training_settings(card)
    system = trainable(card, settings)
    return announced(Training(system, settings, replicas or t.replicas, steps or t.steps, event,
                              hold, per_decade=t.per_decade, start=start_of(card, system)))


def announced(protocol):
    """The protocol, having said how large its run file will be where snapshots make it large.

    Raises
    ------
    InputError
        If its matrices have names that snapshots cannot have.
    """
    from phasegrok.networks.training.snapshots import check_names

    if len(protocol.snapshot_at()):
        try:
            check_names(protocol.system)
        except ValueError as error:
            raise InputError(f"training.snapshots: {error}") from None
    size = protocol.snapshot_bytes()
    if size > _SMALL:
        print(f"snapshots: weights of {protocol.replicas} replicas at up to "
              f"{len(protocol.snapshot_at())} steps make the run file {2e-6 * size:.0f} MB larger "
              "(group weights, and as much for a resume)",
              file=sys.stderr)
    return protocol


def watched_observable(card: Card) -> str:
    """The observable of [training] that the event is seen in; empty: it is the test accuracy.

    Raises
    ------
    InputError
        If the event names another.
    """
    names = [own_code.name_of(text) for text in card.model.training.observables]
    asked = card.model.event.observable if card.model.event else ""
    if names and asked.isidentifier() and asked not in names:
        raise InputError(f"{card.name}: event.observable: {asked} is none of training.observables"
                         f"{did_you_mean(asked, names)}; in words, as \"test accuracy\", it is the "
                         "order parameter")
    return asked if asked in names else ""


def eval_every(card: Card) -> int:
    """Steps between two evaluations of a network."""
    return card.model.training.eval_every


def evaluations(card: Card, hold: float) -> int:
    """Consecutive evaluations of a network that span ``hold`` steps or more."""
    return 1 + math.ceil(hold / eval_every(card))
