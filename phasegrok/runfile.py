"""The run file: one run, one HDF5 file, always whole.

A checkpoint writes a temporary file beside the target, syncs it, and replaces the target in one
step, so that a published file is never open for writing: a kill leaves the old file or the new one.
The HDF5 image is made in memory and written as plain bytes, so that a full disk is an ordinary
error of one call.  Every data set carries a Fletcher-32 checksum and the file a digest of all its
contents; a seal behind the HDF5 data (which HDF5 ignores) holds the digest of every byte before
it, so that a damaged file is noticed before HDF5 parses it.  Groups and their arrays carry
netCDF4-compatible dimension scales, so ``xarray.open_dataset`` and ``xarray.open_datatree`` read a
run file with no engine named.
"""

import dataclasses
import errno
import fcntl
import hashlib
import io
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CONVENTIONS = "phasegrok-1"
_NOT_A_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
_PROVENANCE = {"content_sha256"}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SEAL = b"\nphasegrok-seal-sha256:"
_SEAL_LENGTH = len(_SEAL) + 64 + 1


class RunFileError(Exception):
    """A run file that cannot be read or written; the message is one sentence for the user."""


class BusyError(RunFileError):
    """A run that another process is running now."""


class WriteError(RunFileError):
    """A checkpoint that could not be published (full disk); the last one is whole."""


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


# --- writing --------------------------------------------------------------------------------------


def write(path: Path, run: RunFile) -> None:
    """Publish ``run`` at ``path``: whole or not at all.

    Booleans are stored as 0 and 1, strings as UTF-8 without NUL characters.

    Raises
    ------
    WriteError
        If the folder cannot be written or the disk is full; what was at ``path`` is untouched.
    ValueError
        If a variable's dimensions do not fit its shape or its coordinates, or a string or the
        state holds what HDF5 cannot store.
    """
    path = Path(path)
    try:
        image = _image(run)
    except MemoryError as error:
        raise WriteError(f"cannot write {path}: no memory for a copy of the state") from error
    except (OSError, RuntimeError) as error:  # what HDF5 makes of a lack of memory, and the rest
        raise WriteError(f"cannot write {path}: the state cannot be copied: {error}") from error
    seal = _SEAL + hashlib.sha256(image).hexdigest().encode() + b"\n"
    part = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as handle:
            handle.write(image)
            handle.write(seal)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove_quietly(part)
        kept = "the last checkpoint there is whole" if _exists(path) else "nothing was written"
        raise WriteError(f"cannot write {path}: {_reason(error)}; {kept}") from error
    except BaseException:
        _remove_quietly(part)
        raise


def _image(run: RunFile) -> bytes:
    """The HDF5 file as bytes.

    No file of this name is opened, but HDF5 refuses two open images of one name in a process.
    """
    with h5py.File(f"image-{os.urandom(8).hex()}", "w", driver="core", backing_store=False,
                   libver=("v110", "v110")) as file:
        _fill(file, run)
        file.attrs["content_sha256"] = _digest(file)
        file.flush()
        return file.id.get_file_image()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder on the way may not be entered
        return False


def _fill(file: h5py.File, run: RunFile) -> None:
    file.attrs["Conventions"] = CONVENTIONS
    for name, value in run.attributes.items():
        file.attrs[name] = _storable(value) if isinstance(value, str) else value
    for name, group in run.groups.items():
        _fill_group(file.require_group(name), group, name)
    if run.state is not None:
        blob = _pack(run.state)
        node = file.create_group("state")
        scale = node.create_dataset("byte", shape=(len(blob),), dtype="f4")
        scale.make_scale(f"{_NOT_A_VARIABLE}{len(blob):10d}")
        dataset = node.create_dataset("checkpoint", data=blob, chunks=True, fletcher32=True)
        dataset.dims[0].attach_scale(scale)


def _storable(text: str) -> str:
    """Text without what HDF5 cannot store: NUL, and the lone surrogates of a path not in UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _fill_group(node: h5py.Group, group: Group, name: str) -> None:
    for key, value in group.attributes.items():
        node.attrs[key] = value
    for key, variable in group.variables.items():
        data = np.asarray(variable.data)
        if data.ndim != len(variable.dims):
            raise ValueError(f"{name}/{key}: shape {data.shape} does not fit {variable.dims}")
        checksum = {"fletcher32": True, "chunks": True} if data.ndim and data.size else {}
        if data.dtype == bool:
            data = data.astype(np.int8)
        if data.dtype.kind == "U":
            data = data.astype(h5py.string_dtype())
            checksum = {}
        dataset = node.create_dataset(key, data=data, **checksum)
        dataset.attrs["units"] = variable.units
        dataset.attrs["long_name"] = variable.long_name
        for attribute, value in variable.attributes.items():
            dataset.attrs[attribute] = value
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


def _remove_quietly(path: Path) -> None:
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
        state[name] = array if shape else array.item()
    return state


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
    if not raw.startswith(_HDF5_SIGNATURE) and _SEAL not in raw[-_SEAL_LENGTH:]:
        raise RunFileError(f"{path} is not an HDF5 file")
    _check_seal(path, raw)
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            _check_convention(path, file)
            if file.attrs["content_sha256"] != _digest(file):
                raise RunFileError(f"{path} was altered after it was written: do not trust it")
            return _load(file, with_state)
    except RunFileError:
        raise
    except Exception as error:  # HDF5 meets damage with exceptions of many kinds
        raise RunFileError(f"{path} is truncated or damaged and cannot be read") from error


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a run file alone, however large it is; its data are not checked.

    Raises
    ------
    RunFileError
        If the file is missing, foreign or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise RunFileError(f"there is no file {path}")
    try:  # a live run replaces the file and never writes into it, so nothing is to be locked
        with h5py.File(path, "r", locking=False) as file:
            _check_convention(path, file)
            return _attributes(file)
    except RunFileError:
        raise
    except Exception as error:  # HDF5 meets damage with exceptions of many kinds
        raise RunFileError(f"{path} is truncated or damaged and cannot be read") from error


def _bytes_of(path: Path) -> bytes:
    """All of a file in one go: a live run may replace it, but not what is open."""
    try:
        if path.is_dir():
            raise RunFileError(f"{path} is a folder, not a run file")
        if path.exists() and not path.is_file():
            raise RunFileError(f"{path} is a device or a pipe, not a run file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunFileError(f"there is no file {path}") from error
    except PermissionError as error:
        raise RunFileError(f"{path} may not be read: check its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = _reason(error) if isinstance(error, OSError) else str(error)
        raise RunFileError(f"{path} cannot be read: {reason}") from error


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as every HDF5 file does, whole or not."""
    try:
        with open(path, "rb") as handle:
            return handle.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    except OSError:
        return False


def _check_seal(path: Path, raw: bytes) -> None:
    """Refuse altered bytes before HDF5 parses them.

    A file without a seal was truncated, rewritten by another program or is foreign: the checks
    that follow tell.
    """
    seal = raw[-_SEAL_LENGTH:]
    if not seal.startswith(_SEAL):
        return
    found = hashlib.sha256(memoryview(raw)[:-_SEAL_LENGTH]).hexdigest()
    if seal[len(_SEAL):] != found.encode() + b"\n":
        raise RunFileError(f"{path} was altered after it was written: do not trust it")


def _check_convention(path: Path, file: h5py.File) -> None:
    convention = file.attrs.get("Conventions")
    if not isinstance(convention, str) or not convention.startswith("phasegrok-"):
        raise RunFileError(f"{path} is an HDF5 file, but not a run file of phasegrok")
    if convention != CONVENTIONS:
        raise RunFileError(f"{path} follows {convention}; this version reads {CONVENTIONS}")


def _load(file: h5py.File, with_state: bool) -> RunFile:
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
    return RunFile(_attributes(file), groups, state)


def _variable(item: h5py.Dataset, key: str) -> Variable:
    attributes = _attributes(item)
    data = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
    if item.is_scale:
        dims: tuple[str, ...] = (key,)
    else:
        dims = tuple(dim[0].name.rsplit("/", 1)[1] for dim in item.dims)
    units = attributes.pop("units", "1")
    return Variable(data, dims, units, attributes.pop("long_name", ""), attributes)


def _attributes(node) -> dict[str, Any]:
    hidden = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST"} | _PROVENANCE
    return {k: v.item() if isinstance(v, np.generic) else v
            for k, v in node.attrs.items() if k not in hidden}


def _digest(file: h5py.File) -> str:
    """SHA-256 over names, attributes, types and values of everything in the file."""
    digest = hashlib.sha256()

    def add_node(name, node):
        digest.update(name.encode())
        for key, value in sorted(_attributes(node).items()):
            digest.update(f"{key}={value!r}".encode())
        if isinstance(node, h5py.Dataset) and name != "state/byte":
            digest.update(f"{node.dtype}{node.shape}".encode())
            data = node[()]
            text = h5py.check_string_dtype(node.dtype)
            digest.update(repr(data).encode() if text else np.ascontiguousarray(data).tobytes())

    add_node("/", file)
    file.visititems(add_node)
    return digest.hexdigest()


# --- one writer a run -----------------------------------------------------------------------------


class Lock:
    """Holds a run's name: a second process that wants the same file is refused.

    The lock is released by the operating system when the process dies, however it dies.
    """

    def __init__(self, path: Path):
        self._path = Path(path).with_name(f".{Path(path).name}.lock")
        self._target = path
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock and sweep away the part files of dead processes of this host.

        Raises
        ------
        BusyError
            If another process is running this run.
        RunFileError
            If the folder cannot be written, or its file system has no locks.
        """
        while self._handle is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise RunFileError(
                    f"cannot write in {self._path.parent}: {_reason(error)}") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                raise self._refusal(error) from error
            # the former owner may have removed the file that we opened: then it locks nothing
            if _is_at(handle, self._path):
                self._handle = handle
            else:
                os.close(handle)
        self._sweep()

    def _refusal(self, error: OSError) -> RunFileError:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return BusyError(f"{self._target} is being written by another process: wait for it or "
                             "stop it, or give another --out")
        return RunFileError(f"the file system of {self._path.parent} has no locks: "
                            f"{_reason(error)}")

    def release(self) -> None:
        """Give the name back."""
        if self._handle is not None:
            _remove_quietly(self._path)
            os.close(self._handle)
            self._handle = None

    def _sweep(self) -> None:
        prefix = f".{Path(self._target).name}.{socket.gethostname()}-"
        for part in self._path.parent.iterdir():
            if not (part.name.startswith(prefix) and part.name.endswith(".part")):
                continue
            pid = part.name[len(prefix) : -len(".part")]
            if pid.isdecimal() and not _alive(int(pid)):
                _remove_quietly(part)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
