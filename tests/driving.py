"""Runs of protocols from their start to their end."""


def drive(protocol, seed=1, block=10**6):
    """The state at the end of a run."""
    state = protocol.init(seed)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, block)
    return state
