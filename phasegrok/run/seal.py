"""Whether a run file is as it was written: its seal, its digest, and a parse that cannot hang.

The seal stands behind the HDF5 data and holds the SHA-256 of every byte before it, so that damage
is noticed before HDF5 parses it, which may then loop for ever.  A program that writes HDF5 drops
the seal; for such a file the digest of the contents remains, after a parse in a process that may
be killed.
"""

import contextlib
import hashlib
import os
import resource
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import h5py
import numpy as np

_MARK = b"\nphasegrok-seal-sha256:"
_LENGTH = len(_MARK) + 64 + 1
_CHUNK = 1 << 22  # bytes read at a time, between which signals are answered
_PARSE_SECONDS = 2  # that HDF5 is given for a file without a seal, and
_PARSE_BYTES_PER_SECOND = 20_000_000  # the pace below which it counts as looping
DIGESTS = ("content_digest", "content_sha256")
"""Attributes with the digest of the contents: today's, and that of earlier files."""

# --- the seal -------------------------------------------------------------------------------------


def of(image: bytes) -> bytes:
    """The seal that is written behind ``image``."""
    return _MARK + hashlib.sha256(image).hexdigest().encode() + b"\n"


def state_of(file: BinaryIO) -> str:
    """``whole``, ``altered``, or ``none`` where a file has no seal."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LENGTH))
    seal = file.read(_LENGTH)
    if not seal.startswith(_MARK):
        return "none"
    digest, left = hashlib.sha256(), size - _LENGTH
    file.seek(0)
    while left > 0:
        piece = file.read(min(left, _CHUNK))
        if not piece:  # shorter than it was a moment ago
            return "altered"
        digest.update(piece)
        left -= len(piece)
    return "whole" if seal == _MARK + digest.hexdigest().encode() + b"\n" else "altered"


# --- a file without a seal ------------------------------------------------------------------------


def is_of_full_length(raw: bytes) -> bool:
    """Whether a file ends where its HDF5 header says: not so if it was cut, its seal included."""
    version = raw[8] if len(raw) > 8 else -1
    field = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}.get(version)  # HDF5 format, II.A
    if field is None or len(raw) < 64:
        return False
    size_at, end_at = field
    return int.from_bytes(raw[end_at : end_at + raw[size_at]], "little") == len(raw)


def comes_to_an_end(parse: Callable[[], Any], size: int) -> bool:
    """Whether ``parse`` returns or raises, tried in a copy of this process: it may crash or loop.

    ``size`` is what it reads, in bytes.
    """
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            seconds = _PARSE_SECONDS + size // _PARSE_BYTES_PER_SECOND  # of work
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            parse()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


# --- the digest of the contents -------------------------------------------------------------------

_HIDDEN = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", *DIGESTS}


def attributes(node) -> dict[str, Any]:
    """The attributes of a node as h5py gives them, but for those of HDF5 and the digest itself."""
    return {key: value for key, value in node.attrs.items() if key not in _HIDDEN}


def digest(file: h5py.File) -> str:
    """SHA-256 over the names, attributes, types, shapes and values of everything in a file.

    Every piece goes in with its length before it, and every value with its type and shape, so that
    no two contents give the same bytes.
    """
    total = hashlib.sha256()

    def add_node(name, node):
        is_data = isinstance(node, h5py.Dataset)
        of_node = sorted(attributes(node).items())
        _add(total, name.encode(), b"data" if is_data else b"group", str(len(of_node)).encode())
        for key, value in of_node:
            _add(total, key.encode(), *_pieces(value))
        if is_data and name != "state/byte":
            text = h5py.check_string_dtype(node.dtype)
            _add(total, *_pieces(node.asstr()[()] if text else node[()]))

    add_node("/", file)
    file.visititems(add_node)
    return total.hexdigest()


def _add(total, *pieces) -> None:
    for piece in pieces:
        total.update(len(piece).to_bytes(8, "little"))
        total.update(piece)


def _pieces(value) -> Iterator[Any]:
    """Type, shape and value as bytes: of text each string, of all else the array in one piece."""
    array = np.asarray(value)
    shape = repr(array.shape).encode()
    if array.dtype.kind in "OU":
        yield from (b"text", shape)
        yield from (word.encode() for word in array.ravel().tolist())
    else:
        yield from (array.dtype.str.encode(), shape)
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def digest_of_earlier_files(file: h5py.File) -> str:
    """What was written as ``content_sha256``: it took texts and arrays as Python prints them."""
    total = hashlib.sha256()

    def add_node(name, node):
        total.update(name.encode())
        values = {key: value.item() if isinstance(value, np.generic) else value
                  for key, value in attributes(node).items()}
        for key, value in sorted(values.items()):
            total.update(f"{key}={value!r}".encode())
        if isinstance(node, h5py.Dataset) and name != "state/byte":
            total.update(f"{node.dtype}{node.shape}".encode())
            data = node[()]
            text = h5py.check_string_dtype(node.dtype)
            total.update(repr(data).encode() if text else np.ascontiguousarray(data).tobytes())

    with np.printoptions(precision=8, threshold=1000, edgeitems=3, linewidth=75, suppress=False,
                         nanstr="nan", infstr="inf", sign="-", formatter=None,
                         floatmode="maxprec", legacy=False):
        add_node("/", file)
        file.visititems(add_node)
    return total.hexdigest()
