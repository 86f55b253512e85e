"""Losses, order parameters and norms of given weights of a network."""

import hashlib
from pathlib import Path

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.networks.training.start import source_of
from phasegrok.studies.training import trainable
from phasegrok.studies.weights import network_of, read_weights


def evaluation(card: Card, texts: list[str]) -> Group:
    """Group ``evaluation``: what a card's network is worth with the weights of files.

    Parameters
    ----------
    card : Card
        Of a network; its engine computes the losses.
    texts : list of str
        Files as ``training.start_from`` names them, relative to the working folder.

    Raises
    ------
    InputError
        If a file has no weights, or not those of this network: one sentence.
    """
    network = network_of(card)
    theta_w = [_read(text, network, card) for text in texts]
    found = _at_the_start(card, theta_w)
    group = Group()
    group.add("weights", np.array(texts), "weights", "1", "file, replica and step")
    group.add("matrix", found["matrix"], "matrix", "1", "weight matrix")
    group.add("sha256", np.array([_sha256(text) for text in texts]), "weights", "1",
              "hash of the file")
    for side in ("train", "test"):
        for name in (f"{side}_loss", f"{side}_accuracy"):
            variable = found.variables[name]
            group.add(name, found[f"final_{name}"], "weights", variable.units, variable.long_name)
    norm_wm = found["final_weight_norm"]
    group.add("weight_norm", norm_wm, ("weights", "matrix"), "1",
              "Euclidean norm of each weight matrix")
    group.add("norm", np.sqrt((norm_wm**2).sum(axis=1)), "weights", "1",
              "Euclidean norm of all weights")
    return group


def _read(text: str, network, card: Card) -> np.ndarray:
    try:
        source = source_of(text)
    except ValueError as error:
        raise InputError(f"--weights: {error}") from error
    return read_weights(Path(source.file), source, network, card)


def _sha256(text: str) -> str:
    return hashlib.sha256(Path(source_of(text).file).read_bytes()).hexdigest()


def _at_the_start(card: Card, theta_w: list[np.ndarray]) -> Group:
    """Group ``training`` of replicas that have these weights, and take no step."""
    from phasegrok.networks.training.settings import Settings
    from phasegrok.protocols.training import Training

    t = card.model.training
    settings = Settings(engine=t.engine, device=t.device)
    protocol = Training(trainable(card, settings), settings, len(theta_w), 1)
    state = protocol.init(1)
    for k, theta in enumerate(theta_w):
        state.theta[k] = theta
    return protocol.result(state)["training"]
