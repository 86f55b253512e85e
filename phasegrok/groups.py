"""Results as named arrays: what estimators make and run files keep.

Arrays in, groups out: neither HDF5 nor the file system is known here.
"""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass
class Variable:
    """An array of a run file with the names of its dimensions, its unit and its meaning."""

    data: Any
    dims: tuple[str, ...] = ()
    units: str = "1"
    long_name: str = ""
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.data, dtype=dtype)


@dataclasses.dataclass
class Group:
    """One analysis: its variables (coordinates are those named as their only dimension)."""

    variables: dict[str, Variable] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.variables[name].data)

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def add(self, name: str, data, dims=(), units="1", long_name="", **attributes) -> None:
        """Put a variable into the group."""
        dims = (dims,) if isinstance(dims, str) else tuple(dims)
        self.variables[name] = Variable(np.asarray(data), dims, units, long_name, attributes)
