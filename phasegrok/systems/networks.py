"""The networks that are trained, under one set of names.

Kernels of ``phasegrok.dynamics.trainer`` are written once; which network's energy they compile in
follows from the type of its workspace.
"""

from typing import Any

from numba.extending import overload

from phasegrok.systems import decoder_compiled, transformer_compiled
from phasegrok.systems.decoder import ModularDecoder
from phasegrok.systems.tasks import Network

_ENGINES = {
    transformer_compiled.Workspace: transformer_compiled,
    decoder_compiled.Workspace: decoder_compiled,
}
# as the kernels themselves: contraction is the one fast-math flag that repeats to the last bit
_OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}}


def workspace(system: Network):
    """Scratch arrays for the energy of ``system``; make one a thread."""
    if isinstance(system, ModularDecoder):
        return decoder_compiled.workspace(system)
    return transformer_compiled.workspace(system)


def energy_and_gradient(w, g, data, work):
    """Mean cross-entropy of ``data``, and accuracy; fills ``g``.  From kernels only."""
    raise NotImplementedError("for compiled code")


def losses(w, data, work):
    """Mean cross-entropy of ``data`` and accuracy; from kernels only."""
    raise NotImplementedError("for compiled code")


def losses_again(w, data, work):
    """``losses`` of further data with the weights of the last call; from kernels only."""
    raise NotImplementedError("for compiled code")


def _engine(work):
    return _ENGINES[work.instance_class]


@overload(energy_and_gradient, strict=False, jit_options=_OPTIONS)
def _energy_and_gradient(w, g, data, work):
    function = _engine(work).energy_and_gradient_inner
    return lambda w, g, data, work: function(w, g, data, work)


@overload(losses, strict=False, jit_options=_OPTIONS)
def _losses(w, data, work):
    function = _engine(work).losses_inner
    return lambda w, data, work: function(w, data, work)


@overload(losses_again, strict=False, jit_options=_OPTIONS)
def _losses_again(w, data, work):
    function = _engine(work).losses_from_tables
    return lambda w, data, work: function(w, data, work)
