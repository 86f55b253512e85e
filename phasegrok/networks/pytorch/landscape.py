"""The landscape of a network that has PyTorch only: kernels that call it for the gradient.

A compiled kernel calls PyTorch through a C function pointer, so that the step, its random numbers
and its records are those of :mod:`phasegrok.networks.landscape`; in float64 both engines give the
same path up to rounding.
"""

import ctypes
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from phasegrok.dynamics.ghmc import sum_of_squares
from phasegrok.networks.kinds import pytorch_of
from phasegrok.networks.measures import pull_back, weights
from phasegrok.networks.network import Network
from phasegrok.networks.training.stack_torch import one_thread
from phasegrok.systems.continuous import behaviour

_GRADIENT, _LOSSES = range(2)
_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_int64] * 3)


class Callback:
    """The energy of a network for kernels: a C function (what, theta, out) -> energy.

    theta and out are addresses.  ``what`` 0 fills out with the gradient by theta, of theta's type;
    1 with losses and order parameters of train and test set, four float64.  Where the network
    fails, the energy is NaN, so that the chain breaks off, and ``error`` the first reason.
    """

    def __init__(self, network: Network):
        self.error: Exception | None = None
        self._network = network
        self._free: list[Any] = []  # of a user's own network, each is for one thread at a time
        self._sets = [tuple(map(torch.tensor, part)) for part in (network.train, network.test)]
        self._function = _FUNCTION(self._call)  # lives as long as its address is used
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value

    def _call(self, what, theta_at, out_at):
        n, dtype = self._network.n_parameters, self._network.dtype
        try:
            functions = self._functions()
            theta = torch.from_numpy(_array(theta_at, n, dtype).copy())
            with one_thread():
                if what == _LOSSES:
                    E, out = 0.0, self._losses(functions, theta)
                else:
                    E, out = self._gradient(functions, theta)
            _array(out_at, len(out), out.dtype)[:] = out
            self._free.append(functions)
            return E
        except Exception as error:  # nothing can be raised through a kernel
            self.error = self.error or error
            return math.nan

    def _functions(self):
        try:
            return self._free.pop()
        except IndexError:
            return pytorch_of(self._network)

    def _gradient(self, functions, theta):
        theta.requires_grad_(True)
        E = functions.energy(self._network, theta, *self._sets[0])
        return E.item(), torch.autograd.grad(E, theta)[0].numpy()

    @torch.no_grad()
    def _losses(self, functions, theta):
        """Train loss, test loss, and the two order parameters."""
        found = []
        for inputs, targets in self._sets:
            variance = targets.double().var(dim=0, correction=0).mean()
            found.append([x.mean().item() for x in functions.scores(
                self._network, theta, inputs, targets, variance)])
        return np.array(found).T.ravel()


def _array(address, n, dtype):
    """The n numbers at an address."""
    return np.frombuffer((ctypes.c_char * (n * dtype.itemsize)).from_address(address), dtype)


@intrinsic
def _call_at(typingctx, address, what, theta, out):
    """Call the C function at an address; kernels do not hold the GIL, and ctypes takes it."""

    def codegen(context, builder, signature, args):
        of = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)] * 3)
        return builder.call(builder.inttoptr(args[0], of.as_pointer()), args[1:])

    return types.float64(*[types.int64] * 4), codegen


class InPyTorch(NamedTuple):
    """A landscape as kernels take it."""

    temperature: float
    measure: Any
    address: int  # of the callback


class Scratch(NamedTuple):
    """Scratch of one thread."""

    theta: np.ndarray  # (n,) of the network's precision
    slope: np.ndarray  # (n,)
    found: np.ndarray  # (4,)
    room: np.ndarray  # of the measure


@behaviour(InPyTorch)
def gradient(system, xi, work, out):
    weights(system.measure, xi, work.theta, work.room)
    energy = _call_at(system.address, _GRADIENT, work.theta.ctypes.data, work.slope.ctypes.data)
    pull_back(system.measure, xi, work.slope, 1.0 / system.temperature, work.room, out)
    return energy / system.temperature


@behaviour(InPyTorch)
def observe(system, xi, work, series):
    weights(system.measure, xi, work.theta, work.room)
    _call_at(system.address, _LOSSES, work.theta.ctypes.data, work.found.ctypes.data)
    for k in range(4):
        series[k] = work.found[k]
    if series.shape[0] > 4:
        series[4] = math.sqrt(sum_of_squares(work.theta))


@behaviour(InPyTorch)
def units(system, xi, work, order):
    weights(system.measure, xi, work.theta, work.room)
    _call_at(system.address, _LOSSES, work.theta.ctypes.data, work.found.ctypes.data)
    order[0, 0], order[0, 1] = work.found[3], work.found[1]
