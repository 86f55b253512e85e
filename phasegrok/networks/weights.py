"""Weights as named matrices: theta taken apart, and put together from the files of others.

Files are NumPy's .npz, safetensors, and .pt of PyTorch; run files are read by
``phasegrok.studies.weights``.
"""

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from phasegrok.networks.network import Network

_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
_MOST_HEADER = 100_000_000  # bytes, as the format says


def named(network: Network, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Copies of the matrices of theta, by the names of ``network.layout``."""
    return {name: part.copy() for name, part in zip(network.layout, network.views(theta))}


def flat(network: Network, matrices: dict[str, np.ndarray]) -> np.ndarray:
    """The vector theta of named matrices, (n_parameters,).

    Parameters
    ----------
    network : Network
    matrices : dict
        All that ``network.layout`` names, of its shapes; of the network's precision, or of a lower
        one.

    Raises
    ------
    ValueError
        Where they are not the weights of this network, or not finite: one sentence.
    """
    theta = np.empty(network.n_parameters, network.dtype)
    for what, names in (("no matrix", network.layout.keys() - matrices.keys()),
                        ("an unknown matrix", matrices.keys() - network.layout.keys())):
        if names:
            raise ValueError(f"there is {what} {min(names)}: the matrices of this network are "
                             f"{', '.join(network.layout)}")
    for name, (offset, shape) in network.layout.items():
        x = matrices[name]
        if x.dtype.kind != "f":
            raise ValueError(f"{name} has the type {x.dtype}: give floating-point numbers")
        if not np.can_cast(x.dtype, network.dtype):
            raise ValueError(f"{name} is {x.dtype} and the network is {network.dtype}: set "
                             f"parameters.precision, or give weights of type {network.dtype}")
        if x.shape != shape:
            raise ValueError(f"{name} has the shape {x.shape}, and this network's is {shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{name} has weights that are not finite")
        theta[offset : offset + math.prod(shape)] = x.ravel()
    return theta


def read_matrices(path: Path) -> dict[str, np.ndarray]:
    """Named matrices of a file that ends as one of ``SUFFIXES``; no code in it is executed.

    Raises
    ------
    ValueError
        Where it cannot be read, or is not what its ending says: one sentence.
    """
    try:
        return _READERS[path.suffix](path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = error if zipfile.is_zipfile(path) else "write it with numpy.savez"
        raise ValueError(f"{path} is not a .npz file of plain arrays: {reason}") from error


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """The format: eight bytes with the length of a JSON header, the header, the arrays."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    try:
        if length > min(len(raw) - 8, _MOST_HEADER):
            raise ValueError("its header is not whole")
        header = json.loads(raw[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: _tensor(name, entry, raw[8 + length :]) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error


def _tensor(name: str, entry: dict, data: bytes) -> np.ndarray:
    if entry["dtype"] not in _SAFETENSORS:
        raise ValueError(f"{name} has the type {entry['dtype']}: give F32 or F64")
    (begin, end), kind = entry["data_offsets"], np.dtype(_SAFETENSORS[entry["dtype"]])
    if not 0 <= begin <= end <= len(data) or end - begin != kind.itemsize * math.prod(
            entry["shape"]):
        raise ValueError(f"the data of {name} do not fit its shape {entry['shape']}")
    return np.frombuffer(data[begin:end], kind).reshape(entry["shape"])


def _pt(path: Path) -> dict[str, np.ndarray]:
    import torch  # only where it is asked for: the import takes a second

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of pickle, zip and PyTorch, in many kinds
        raise ValueError(f"{path} is not read by torch.load with weights_only=True: "
                         f"{str(error).splitlines()[0]}") from error
    if not isinstance(found, dict) or not all(isinstance(x, torch.Tensor) for x in found.values()):
        raise ValueError(f"{path} is no dictionary of tensors: save module.state_dict()")
    return {name: (x.float() if x.dtype == torch.bfloat16 else x).detach().numpy()
            for name, x in found.items()}


_READERS = {".npz": _npz, ".safetensors": _safetensors, ".pt": _pt, ".pth": _pt}
SUFFIXES = tuple(_READERS)
"""Endings of files of named matrices."""
