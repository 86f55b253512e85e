"""The run file: one run, one HDF5 file, always whole.

A checkpoint writes a temporary file beside the target, syncs it, and replaces the target in one
step, so that a published file is never open for writing: a kill leaves the old file or the new one.
The HDF5 image is made in memory and written as plain bytes, so that a full disk is an ordinary
error of one call.  Every data set carries a Fletcher-32 checksum, the file a digest of all its
contents and a seal over all its bytes (:mod:`phasegrok.run.seal`), so that a damaged file is
noticed before HDF5 parses it.  Groups and their arrays carry netCDF4-compatible dimension scales,
so ``xarray.open_dataset`` and ``xarray.open_datatree`` read a run file with no engine named.
"""

import dataclasses
import io
import json
import math
import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from phasegrok.groups import Group, Variable
from phasegrok.run import seal

CONVENTIONS = "phasegrok-1"
PICTURES = (".png", ".pdf", ".svg")
"""Endings of figures, which no run file has: its figure would replace it."""

_NOT_A_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class RunFileError(Exception):
    """A run file that cannot be read or written; the message is one sentence for the user."""


class BusyError(RunFileError):
    """A run that another process is running now."""


class WriteError(RunFileError):
    """A checkpoint that could not be published (full disk); the last one is whole."""


@dataclasses.dataclass
class RunFile:
    """What a run file holds, read into memory: attributes, groups, and the state for a resume."""

    attributes: dict[str, Any]
    groups: dict[str, Group]
    state: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Group:
        return self.groups[name]

    def __contains__(self, name: str) -> bool:
        return name in self.groups


# --- names ----------------------------------------------------------------------------------------


def resolved(path: Path) -> Path:
    """Where a run stands: behind every symbolic link on the way, else as it was given.

    A link itself must not be replaced by the run file, nor may one file have two locks.
    """
    real = Path(os.path.realpath(path))
    return Path(path) if real == Path(os.path.abspath(path)) else real


def figure_of(path: Path, ending: str) -> Path:
    """The figure of a run file: beside it, with ``ending`` for .h5, or behind any other name."""
    return path.with_name(path.name.removesuffix(".h5") + ending)


# --- writing --------------------------------------------------------------------------------------


def write(path: Path, run: RunFile) -> None:
    """Publish ``run`` at ``path``: whole or not at all.

    Booleans are stored as 0 and 1, strings as UTF-8 without NUL characters, and of an attribute a
    number by itself as the whole, real or complex number of Python that it equals.

    Raises
    ------
    WriteError
        If the folder cannot be written or the disk is full; what was at ``path`` is untouched.
    ValueError
        If a variable's dimensions do not fit its shape or its coordinates, or a value is of a type
        that HDF5 cannot store.
    """
    path = resolved(path)
    try:
        image = _image(run)
    except MemoryError as error:
        raise WriteError(f"cannot write {path}: no memory for a copy of the state") from error
    except (OSError, RuntimeError) as error:  # what HDF5 makes of a lack of memory, and the rest
        raise WriteError(f"cannot write {path}: the state cannot be copied: {error}") from error
    part = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as handle:
            handle.write(image)
            handle.write(seal.of(image))
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        remove_quietly(part)
        kept = "the last checkpoint there is whole" if _exists(path) else "nothing was written"
        raise WriteError(f"cannot write {path}: {reason_of(error)}; {kept}") from error
    except BaseException:
        remove_quietly(part)
        raise


def _image(run: RunFile) -> bytes:
    """The HDF5 file as bytes.

    No file of this name is opened, but HDF5 refuses two open images of one name in a process.
    """
    with h5py.File(f"image-{os.urandom(8).hex()}", "w", driver="core", backing_store=False,
                   libver=("v110", "v110")) as file:
        _fill(file, run)
        file.attrs[seal.DIGESTS[0]] = seal.digest(file)
        file.flush()
        return file.id.get_file_image()


def reason_of(error: OSError) -> str:
    """Why the system refused, in its own words."""
    return os.strerror(error.errno) if error.errno else str(error)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder on the way may not be entered
        return False


def _fill(file: h5py.File, run: RunFile) -> None:
    file.attrs["Conventions"] = CONVENTIONS
    _fill_attributes(file, run.attributes, "attribute")
    for name, group in run.groups.items():
        _fill_group(file.require_group(name), group, name)
    if run.state is not None:
        blob = _pack(run.state)
        node = file.create_group("state")
        scale = node.create_dataset("byte", shape=(len(blob),), dtype="f4")
        scale.make_scale(f"{_NOT_A_VARIABLE}{len(blob):10d}")
        dataset = node.create_dataset("checkpoint", data=blob, chunks=True, fletcher32=True)
        dataset.dims[0].attach_scale(scale)


def _fill_attributes(node, attributes: Mapping[str, Any], where: str) -> None:
    for key, value in attributes.items():
        plain = value.item() if isinstance(value, np.generic) else value
        node.attrs[key] = _storable(plain, f"{where}/{key}")


def _storable(value, where: str):
    """An array or a number as HDF5 stores it; text without what HDF5 cannot store.

    That is NUL, and the lone surrogates of a path that is not in UTF-8.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    array = np.asarray(value)
    words = array.ravel().tolist() if array.dtype.kind in "UO" else [None]
    if all(isinstance(word, str) for word in words):
        text = np.empty(array.size, h5py.string_dtype())
        text[:] = [_storable(word, where) for word in words]
        return text.reshape(array.shape)
    if array.dtype.kind not in "biufcS":
        raise ValueError(f"{where}: {value!r:.40} is of a type that a run file cannot hold: give "
                         "numbers or text")
    return value


def _fill_group(node: h5py.Group, group: Group, name: str) -> None:
    _fill_attributes(node, group.attributes, name)
    for key, variable in group.variables.items():
        data = np.asarray(variable.data)
        if data.ndim != len(variable.dims):
            raise ValueError(f"{name}/{key}: shape {data.shape} does not fit {variable.dims}")
        if data.dtype == bool:
            data = data.astype(np.int8)
        data = _storable(data, f"{name}/{key}")
        checked = data.ndim and data.size and data.dtype.kind != "O"
        dataset = node.create_dataset(key, data=data, **(
            {"fletcher32": True, "chunks": True} if checked else {}))
        _fill_attributes(dataset, {"units": variable.units, "long_name": variable.long_name}
                         | variable.attributes, f"{name}/{key}")
        if variable.dims == (key,):
            dataset.make_scale(key)
    for key, variable in group.variables.items():
        if variable.dims == (key,):
            continue
        for axis, dim in enumerate(variable.dims):
            if dim not in node:
                raise ValueError(f"{name}/{key}: no coordinate {dim}")
            if node[dim].shape[0] != node[key].shape[axis]:
                raise ValueError(f"{name}/{key}: length of {dim} does not fit")
            node[key].dims[axis].attach_scale(node[dim])


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_quietly(path: Path) -> None:
    """Remove a file if there is one and it may be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the folder may be gone or read-only; the part file is then swept at the next start


# --- the state: one opaque array of bytes ---------------------------------------------------------


def _pack(state: Mapping[str, Any]) -> np.ndarray:
    header, chunks, offset = {}, [], 0
    for name, value in state.items():
        array = np.ascontiguousarray(value)
        if array.dtype.kind not in "biufcSU":
            raise ValueError(f"state/{name}: {array.dtype} cannot be stored as bytes")
        raw = array.tobytes()
        header[name] = (array.dtype.str, np.shape(value), offset, len(raw))
        chunks.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    packed = len(text).to_bytes(8, "little") + text + b"".join(chunks)
    return np.frombuffer(packed, dtype=np.uint8)


def _unpack(blob: np.ndarray) -> dict[str, Any]:
    raw = blob.tobytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    state = {}
    for name, (dtype, shape, offset, size) in json.loads(raw[8:start]).items():
        piece = raw[start + offset : start + offset + size]
        array = np.frombuffer(piece, dtype=np.dtype(dtype)).reshape(shape).copy()
        state[name] = array if shape else _number(array[()])
    return state


def _number(value):
    """A number as it went in: one of Python, or one of numpy that Python would store as another."""
    return value.item() if np.asarray(value.item()).dtype == value.dtype else value


def pack_dataclass(state) -> dict[str, Any]:
    """The fields of a state (a dataclass of arrays and numbers) for ``RunFile.state``."""
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}


# --- reading --------------------------------------------------------------------------------------


def read(path: Path, with_state: bool = False) -> RunFile:
    """Read a run file, having checked that it is one, whole and unaltered.

    Raises
    ------
    RunFileError
        If the file is missing, foreign, truncated or altered: one sentence.
    """
    path = Path(path)
    raw = _bytes_of(path)
    sealed = seal.state_of(io.BytesIO(raw))
    if sealed == "altered":
        raise _altered(path)
    if sealed == "none" and not raw.startswith(_HDF5_SIGNATURE):
        raise RunFileError(f"{path} is not an HDF5 file")

    def load() -> RunFile:
        with h5py.File(io.BytesIO(raw), "r") as file:
            return _checked(path, file, sealed, with_state)

    if sealed == "none" and not (seal.is_of_full_length(raw) and seal.comes_to_an_end(
            load, len(raw))):
        raise _damaged(path)
    return _parsed(path, load)


_seen: dict[Path, tuple[tuple[int, ...], dict[str, Any] | RunFileError]] = {}


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a run file alone, in little memory however large it is.

    The seal is checked, which takes a reader less time than the file took its writer, and again
    only where the file has changed since this process read it.

    Raises
    ------
    RunFileError
        If the file is missing, foreign, truncated or altered: one sentence.
    """
    path = Path(path)
    try:  # a live run replaces the file and never writes into it: what is open stays
        handle = open(path, "rb", opener=_open_at_once)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with handle:
        at = os.fstat(handle.fileno())
        key = (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        if path not in _seen or _seen[path][0] != key:
            try:
                _seen[path] = (key, _read_attributes(path, handle))
            except RunFileError as error:
                _seen[path] = (key, error)
        found = _seen[path][1]
    if isinstance(found, RunFileError):
        raise RunFileError(str(found))
    return dict(found)


def _open_at_once(path, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # of a pipe that nobody writes to, too


def _read_attributes(path: Path, handle: BinaryIO) -> dict[str, Any]:
    if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
        return read(path).attributes  # says what it is
    try:
        sealed = seal.state_of(handle)
    except OSError as error:
        raise _unreadable(path, error) from error
    if sealed == "altered":
        raise _altered(path)
    if sealed == "none":  # then the contents alone tell whether it is whole
        return read(path).attributes

    def load() -> dict[str, Any]:
        with h5py.File(handle, "r") as file:
            return _checked_attributes(path, file)

    return _parsed(path, load)


def _parsed(path: Path, load: Callable[[], Any]):
    try:
        return load()
    except RunFileError:
        raise
    except Exception as error:  # HDF5 meets damage with exceptions of many kinds
        raise _damaged(path) from error


def _checked(path: Path, file: h5py.File, sealed: str, with_state: bool) -> RunFile:
    """The contents, if they are those that were written.

    Of an earlier file with its seal the digest is left alone: it depends on how numpy was asked to
    print when the file was written.
    """
    attributes = _checked_attributes(path, file)
    today, earlier = seal.DIGESTS
    if today in file.attrs:
        unaltered = file.attrs[today] == seal.digest(file)
    else:
        unaltered = sealed == "whole" or (
            file.attrs[earlier] == seal.digest_of_earlier_files(file))
    if not unaltered:
        raise _altered(path)
    groups, state = _load(file, with_state)
    return RunFile(attributes, groups, state)


def _damaged(path: Path) -> RunFileError:
    return RunFileError(f"{path} is truncated or damaged and cannot be read")


def _altered(path: Path) -> RunFileError:
    return RunFileError(f"{path} was altered after it was written: do not trust it")


def _bytes_of(path: Path) -> bytes:
    """All of a file in one go: a live run may replace it, but not what is open."""
    try:
        if path.is_dir():
            raise RunFileError(f"{path} is a folder, not a run file")
        if path.exists() and not path.is_file():
            raise RunFileError(f"{path} is a device or a pipe, not a run file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> RunFileError:
    if isinstance(error, FileNotFoundError):
        return RunFileError(f"there is no file {path}")
    if isinstance(error, PermissionError):
        return RunFileError(f"{path} may not be read: check its permissions")
    reason = reason_of(error) if isinstance(error, OSError) else str(error)  # a NUL in the name
    return RunFileError(f"{path} cannot be read: {reason}")


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as every HDF5 file does, whole or not."""
    try:
        with open(path, "rb") as handle:
            return handle.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    except OSError:
        return False


def _check_convention(path: Path, file: h5py.File) -> None:
    convention = file.attrs.get("Conventions")
    if not isinstance(convention, str) or not convention.startswith("phasegrok-"):
        raise RunFileError(f"{path} is an HDF5 file, but not a run file of phasegrok")
    if convention != CONVENTIONS:
        raise RunFileError(f"{path} follows {convention}; this version reads {CONVENTIONS}")


def _load(file: h5py.File, with_state: bool) -> tuple[dict[str, Group], dict[str, Any] | None]:
    groups: dict[str, Group] = {}
    state = None

    def visit(node: h5py.Group, name: str) -> None:
        nonlocal state
        if name == "state":
            state = _unpack(node["checkpoint"][()]) if with_state else None
            return
        group = Group(attributes=_attributes(node))
        for key, item in node.items():
            if isinstance(item, h5py.Group):
                visit(item, f"{name}/{key}" if name else key)
            else:
                group.variables[key] = _variable(item, key)
        if name and (group.variables or group.attributes):
            groups[name] = group

    visit(file, "")
    return groups, state


def _variable(item: h5py.Dataset, key: str) -> Variable:
    attributes = _attributes(item)
    data = _text(item.asstr()[()]) if h5py.check_string_dtype(item.dtype) else item[()]
    if item.is_scale:
        dims: tuple[str, ...] = (key,)
    else:
        dims = tuple(dim[0].name.rsplit("/", 1)[1] for dim in item.dims)
    units = attributes.pop("units", "1")
    return Variable(data, dims, units, attributes.pop("long_name", ""), attributes)


def _attributes(node) -> dict[str, Any]:
    return {key: value.item() if isinstance(value, np.generic) else _text(value)
            for key, value in seal.attributes(node).items()}


def _text(value):
    """Strings as numpy has them, which are written again as they were; all else as it is."""
    return value.astype(str) if isinstance(value, np.ndarray) and value.dtype == object else value


# --- what the attributes of the file say ----------------------------------------------------------

_LATEST = 1e11  # s since 1970: a date with a year of four digits
_NUMBERS = {"started": (0.0, _LATEST), "updated": (0.0, _LATEST), "wall_s": (0.0, _LATEST),
            "checkpoint_s": (0.0, math.inf), "done_share": (0.0, _LATEST), "pid": (1, 2**31 - 1),
            "starts": (0, 2**62), "total": (0, 2**63), "seed": (-2**63, 2**63)}
_WORDS = ("title", "run_id", "experiment", "script", "script_sha256", "code_sha256",
          "start_from_sha256", "command_line",
          "status", "card", "card_name", "card_folder", "hostname", "part_of", "error",
          "resumed_after_change")
_LISTS = ("points", "cards", "card_names", "card_folders")  # of strings, as JSON
_TABLES = ("parameters", "versions")  # as JSON


def _checked_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """The attributes of a run file, if those that this package goes by are what it writes."""
    _check_convention(path, file)
    found = _attributes(file)
    for key, value in found.items():
        if not _is_right(key, value):
            raise RunFileError(f"{path}: its attribute {key} is {value!r:.40}, which no run "
                               "writes: do not trust it")
    return found


def _is_right(key: str, value) -> bool:
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        return isinstance(value, int | float) and low <= value <= high
    if key in _WORDS:
        return isinstance(value, str)
    if key not in _LISTS and key not in _TABLES:
        return True
    try:
        inside = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return False
    if key in _TABLES:
        return isinstance(inside, dict)
    words = isinstance(inside, list) and all(isinstance(word, str) for word in inside)
    return words and not (key == "points" and any("/" in word for word in inside))


def whole_of(path: Path) -> tuple[Path, RunFile]:
    """The run that a run file is a part of, however deep, with its path; itself if of none.

    Raises
    ------
    RunFileError
        If one of the files cannot be read, or they are parts of each other in a circle.
    """
    path = resolved(path)
    found, passed = read(path), {path}
    while "part_of" in found.attributes:
        path = resolved(Path(os.path.normpath(path.parent / found.attributes["part_of"])))
        if path in passed:
            raise RunFileError(f"{path} says that it is a part of itself: do not trust it")
        passed.add(path)
        found = read(path)
    return path, found
