"""The run file: what is written is read, and what was not written is never read."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phasegrok.groups import Group, Variable
from phasegrok.run import runfile, seal
from phasegrok.run.lock import Lock
from phasegrok.run.runfile import RunFile, RunFileError, WriteError

# a folder of a test may be shared by the examples of one property: each example overwrites its file
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.sampled_from(["a", "energy_err", "ß", "磁化", "x y", "T-1"])
DTYPES = st.one_of(hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(),
                   hnp.floating_dtypes(sizes=(32, 64)), hnp.complex_number_dtypes(sizes=(128,)),
                   hnp.boolean_dtypes())
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
ARRAYS = hnp.arrays(DTYPES, SHAPES)
ATTRIBUTES = st.dictionaries(NAMES, st.one_of(
    TEXT, st.integers(-2**63, 2**63 - 1), st.floats(), st.booleans()), max_size=4)
STATES = st.dictionaries(NAMES, st.one_of(
    hnp.arrays(DTYPES, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)),
    st.integers(-2**63, 2**63 - 1), st.floats(), st.booleans(), TEXT), max_size=4)


@st.composite
def groups(draw):
    """A group of arrays, each axis with a coordinate of its own."""
    group = Group(attributes=draw(ATTRIBUTES))
    for name, array in draw(st.dictionaries(NAMES, ARRAYS, max_size=3)).items():
        dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
        for dim, length in zip(dims, array.shape):
            group.add(dim, np.arange(length), dim)
        group.add(name, array, dims, draw(TEXT), draw(TEXT))
    return group


def same(a, b) -> bool:
    """Equal in type, shape and every bit; booleans are stored as 0 and 1.

    A number by itself is read in the byte order of this machine.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim == 0:
        a = a.astype(a.dtype.newbyteorder("="))
    a = a.astype(np.int8) if a.dtype == bool else a
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def same_attributes(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(repr(a[k]) == repr(b[k]) for k in a)


def assert_same(a: RunFile, b: RunFile) -> None:
    """Everything that the user sees of two runs is equal, bit for bit."""
    assert same_attributes(a.attributes, {k: v for k, v in b.attributes.items()
                                          if k != "Conventions"})
    kept = {name: g for name, g in a.groups.items() if g.variables or g.attributes}
    assert kept.keys() == b.groups.keys()
    for name, group in kept.items():
        found = b[name]
        assert same_attributes(group.attributes, found.attributes)
        assert group.variables.keys() == found.variables.keys()
        for key, variable in group.variables.items():
            other = found.variables[key]
            assert same(variable.data, other.data)
            assert (variable.dims, variable.units, variable.long_name) == (
                other.dims, other.units, other.long_name)


def example() -> RunFile:
    """A run as small as it can be with an array, a coordinate, text, and a state."""
    group = Group(attributes={"complete": True, "note": "ÄÖ"})
    group.add("energy", np.array([-2.0, 0.0, 2.0]), "energy", "J", "energy")
    group.add("log_g", np.array([0.7, np.nan, 0.1]), "energy", "nat", "ln g")
    group.add("matrix", np.array(["W_E", "größe"]), "matrix", "1", "names")
    return RunFile({"title": "three levels", "seed": 3}, {"density_of_states": group},
                   {"rng": np.arange(4, dtype=np.uint64), "steps": 7})


# --- round trip -----------------------------------------------------------------------------------


@PROPERTY
@given(attributes=ATTRIBUTES, found=st.dictionaries(
    st.sampled_from(["series", "verdict/a-1", "verdict/b"]), groups(), max_size=2),
       state=st.none() | STATES)
def test_round_trip(tmp_path, attributes, found, state):
    run = RunFile(attributes, found, state)
    runfile.write(tmp_path / "a.h5", run)
    back = runfile.read(tmp_path / "a.h5", with_state=True)
    assert_same(run, back)
    assert (state is None) == (back.state is None)
    for name, value in (state or {}).items():
        assert np.asarray(value).dtype == np.asarray(back.state[name]).dtype
        assert np.shape(value) == np.shape(back.state[name])
        assert np.asarray(value).tobytes() == np.asarray(back.state[name]).tobytes()
    assert runfile.read(tmp_path / "a.h5").state is None


@PROPERTY
@given(words=st.lists(TEXT, min_size=1, max_size=4))
def test_strings_round_trip(tmp_path, words):
    group = Group()
    group.add("word", np.array(words), "word")
    runfile.write(tmp_path / "a.h5", RunFile({}, {"names": group}))
    assert runfile.read(tmp_path / "a.h5")["names"]["word"].tolist() == words


VALUES = st.one_of(TEXT, st.integers(-2**63, 2**64 - 1), st.floats(), st.booleans(),
                   hnp.arrays(DTYPES, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0)),
                   st.lists(TEXT, max_size=3).map(lambda words: np.array(words, dtype=str)),
                   st.floats(width=32).map(np.float32), st.integers(0, 200).map(np.uint8))


@settings(PROPERTY, max_examples=30)
@given(attributes=st.dictionaries(NAMES, VALUES, max_size=4), words=st.lists(TEXT, max_size=4),
       state=st.dictionaries(NAMES, VALUES, max_size=3))
def test_what_was_read_is_written_and_read_again(tmp_path, attributes, words, state):
    """Text, arrays as attributes, numbers of numpy: nothing changes its type on the way."""
    group = Group(attributes=attributes | {"complete": True})
    group.add("word", np.array(words, dtype=str), "word", note="in the note: ß",
              labels=["a", "bb"])
    group.add("name", "one text")
    run = RunFile(attributes, {"names": group}, state)
    runfile.write(tmp_path / "a.h5", run)
    first = runfile.read(tmp_path / "a.h5", with_state=True)
    runfile.write(tmp_path / "b.h5", first)
    second = runfile.read(tmp_path / "b.h5", with_state=True)
    assert first["names"]["word"].tolist() == words
    for key, value in attributes.items():
        found = np.asarray(first["names"].attributes[key])
        assert found.tolist() == np.asarray(value).tolist() or np.isnan(value).any()
    for key, value in state.items():
        assert np.asarray(value).dtype == np.asarray(first.state[key]).dtype
    for a, b in ((first.attributes, second.attributes), (first.state, second.state),
                 *((first["names"].variables[k].attributes, second["names"].variables[k].attributes)
                   for k in ("word", "name")),
                 (first["names"].attributes, second["names"].attributes),
                 *[({k: first["names"][k]}, {k: second["names"][k]}) for k in ("word", "name")]):
        assert a.keys() == b.keys()
        for key in a:
            x, y = np.asarray(a[key]), np.asarray(b[key])
            assert type(a[key]) is type(b[key]) and (x.dtype, x.shape) == (y.dtype, y.shape)
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("value", [None, {"a": 1}, 2**70, np.datetime64("2026-01-01")])
def test_what_cannot_be_stored_is_said_with_its_place(tmp_path, value):
    for group, place in ((Group(attributes={"note": value}), "found/note"),
                         (Group({"x": Variable(np.array(value, dtype=object))}),
                          "found/x")):
        with pytest.raises(ValueError, match=place):
            runfile.write(tmp_path / "a.h5", RunFile({}, {"found": group}))


def test_dimensions_are_read_by_xarray(tmp_path):
    runfile.write(tmp_path / "a.h5", example())
    data = xarray.open_dataset(tmp_path / "a.h5", group="density_of_states")
    assert data["log_g"].dims == ("energy",)
    assert data["energy"].values.tolist() == [-2.0, 0.0, 2.0]
    assert data["matrix"].values.tolist() == ["W_E", "größe"]
    assert data["log_g"].attrs["units"] == "nat" and data["log_g"].attrs["long_name"] == "ln g"
    np.testing.assert_array_equal(data["log_g"].values, [0.7, np.nan, 0.1])
    assert xarray.open_dataset(tmp_path / "a.h5").attrs["title"] == "three levels"
    tree = xarray.open_datatree(tmp_path / "a.h5")
    np.testing.assert_array_equal(tree["density_of_states/log_g"].values, [0.7, np.nan, 0.1])


def test_a_reader_of_hdf5_sees_checksums_and_scales(tmp_path):
    runfile.write(tmp_path / "a.h5", example())
    with h5py.File(tmp_path / "a.h5", "r") as file:
        log_g = file["density_of_states/log_g"]
        assert log_g.fletcher32 and file["state/checkpoint"].fletcher32
        assert log_g.dims[0][0].name == "/density_of_states/energy"


@pytest.mark.parametrize("dims, data", [
    (("temperature",), np.zeros(3)), (("energy",), np.zeros(4)), ((), np.zeros(3)),
    (("energy", "energy"), np.zeros(3))])
def test_an_array_needs_its_coordinates(tmp_path, dims, data):
    run = example()
    runfile.write(tmp_path / "a.h5", run)
    run["density_of_states"].add("potential", data, dims)
    with pytest.raises(ValueError, match=r"density_of_states/potential"):
        runfile.write(tmp_path / "a.h5", run)
    assert "potential" not in runfile.read(tmp_path / "a.h5")["density_of_states"]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_a_state_of_python_objects_is_refused(tmp_path):
    with pytest.raises(ValueError, match="state/big"):
        runfile.write(tmp_path / "a.h5", RunFile({}, {}, {"big": 2**70}))


def test_any_text_of_the_user_can_be_recorded(tmp_path):
    """A path that is not UTF-8, a NUL in a title: not worth a run."""
    run = RunFile({"command_line": "run caf\udce9.toml", "title": "a\0b"}, {})
    runfile.write(tmp_path / "a.h5", run)
    found = runfile.read(tmp_path / "a.h5").attributes
    assert found["command_line"] == "run caf\\udce9.toml" and found["title"] == "a\\x00b"


# --- damage ---------------------------------------------------------------------------------------


def one_sentence(error) -> bool:
    text = str(error.value)
    return "\n" not in text and 10 < len(text) < 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a run file, and a place for damaged copies."""
    path = tmp_path_factory.mktemp("damage") / "a.h5"
    runfile.write(path, example())
    return path, path.read_bytes()


def read_damaged(path, raw) -> str:
    """Read ``raw`` as a run file: either an error in one sentence, or exactly the original."""
    path.write_bytes(raw)
    try:
        back = runfile.read(path, with_state=True)
    except RunFileError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return "refused"
    assert_same(example(), back)
    assert back.state["rng"].tolist() == [0, 1, 2, 3] and back.state["steps"] == 7
    return "original"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_flipped_bit_is_noticed(whole, data):
    path, raw = whole
    offset = data.draw(st.integers(0, len(raw) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(raw)
    damaged[offset] ^= 1 << bit
    outcome = read_damaged(path, bytes(damaged))
    if offset < len(raw) - 100:  # within the HDF5 data: the digest of all bytes differs
        assert outcome == "refused"


def test_truncation_at_any_length_is_noticed(whole):
    path, raw = whole
    for length in [*range(0, 120), *range(120, len(raw), 97), *range(len(raw) - 100, len(raw))]:
        read_damaged(path, raw[:length])
    assert read_damaged(path, raw[: len(raw) // 2]) == "refused"
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(RunFileError, match="truncated or damaged"):
        runfile.read(path)


LOST_SEAL = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runfile import read_damaged
path = Path(sys.argv[1])
raw = path.read_bytes()
raw = raw[:raw.rindex(b"\\nphasegrok-seal-sha256:")]
random.seed(3)
outcomes = []
for _ in range(400):
    damaged = bytearray(raw)
    for offset in random.sample(range(len(raw)), random.choice([1, 1, 3])):
        damaged[offset] ^= 1 << random.randrange(8)
    outcomes.append(read_damaged(path, bytes(damaged)))
print(outcomes.count("refused"))
"""


def test_damage_behind_a_lost_seal_is_noticed(tmp_path):
    """Another program may drop the seal; the checksums of HDF5 and the digest remain.

    In a process of its own: HDF5 parses damaged bytes here.
    """
    runfile.write(tmp_path / "a.h5", example())
    folder = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", LOST_SEAL, str(tmp_path / "a.h5"), folder],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100  # the others hit bytes that mean nothing, as unused space


def test_an_edited_file_is_refused(tmp_path):
    """Somebody changes a number with h5py, which keeps all checksums of HDF5 true."""
    path = tmp_path / "a.h5"
    runfile.write(path, example())
    with h5py.File(path, "r+") as file:
        file["density_of_states/log_g"][0] = 0.8
    with pytest.raises(RunFileError, match="altered"):
        runfile.read(path)


def test_a_file_repacked_by_another_program_is_read(tmp_path):
    """A copy without the seal, same contents: HDF5 tools may make one."""
    path = tmp_path / "a.h5"
    runfile.write(path, example())
    with h5py.File(path, "r+"):
        pass  # HDF5 cuts off what it does not know
    assert_same(example(), runfile.read(path))


def edit(path, change) -> None:
    """Change a file as another program does; the seal is gone then."""
    with h5py.File(path, "r+") as file:
        change(file)


def many_words() -> RunFile:
    """2000 words and 2000 numbers as an attribute: numpy prints the ends of both only."""
    group = Group(attributes={"numbers": np.linspace(0.0, 1.0, 2000), "step": np.float32(0.1)})
    group.add("word", np.array([f"w{k}" for k in range(2000)]), "word", label="ab")
    return RunFile({"title": "many words", "h": 1e-12}, {"names": group})


def change_of_an_attribute(file):
    numbers = file["names"].attrs["numbers"]
    numbers[1000] += 1e-13
    file["names"].attrs["numbers"] = numbers


@pytest.mark.parametrize("change", [
    lambda file: file["names/word"].__setitem__(1000, "x1000"), change_of_an_attribute,
    lambda file: file["names"].attrs.__setitem__("step", float(np.float32(0.1)) + 1e-9),
    lambda file: file["names/word"].attrs.__setitem__("label", "aB"),
    lambda file: (file["names/word"].attrs.__delitem__("label"),  # the same letters in a row
                  file["names/word"].attrs.__setitem__("labe", "lab"))])
def test_every_value_counts_for_the_digest(tmp_path, change):
    path = tmp_path / "a.h5"
    runfile.write(path, many_words())
    edit(path, lambda file: None)
    runfile.read(path)  # repacked only
    edit(path, change)
    with pytest.raises(RunFileError, match="altered"):
        runfile.read(path)


PRINTED = [dict(linewidth=120), dict(threshold=5), dict(precision=2), dict(sign="+"),
           dict(legacy="1.13"), dict(formatter={"all": lambda x: "x"})]


@pytest.mark.parametrize("options", PRINTED, ids=lambda options: next(iter(options)))
def test_the_digest_does_not_depend_on_how_numpy_prints(tmp_path, options):
    run = many_words()
    run["names"].add("few", ["a", "größe"], "few")
    runfile.write(tmp_path / "a.h5", run)
    edit(tmp_path / "a.h5", lambda file: None)
    with np.printoptions(**options):
        assert runfile.read(tmp_path / "a.h5")["names"]["word"][1000] == "w1000"
        runfile.write(tmp_path / "b.h5", run)
        edit(tmp_path / "b.h5", lambda file: None)
    runfile.read(tmp_path / "b.h5")


def as_earlier(monkeypatch, path, run) -> None:
    """Write a run file with the digest that files had before, made by numpy's own printing."""
    with monkeypatch.context() as patch:
        patch.setattr(seal, "digest", seal.digest_of_earlier_files)
        patch.setattr(seal, "DIGESTS", seal.DIGESTS[::-1])
        runfile.write(path, run)


def test_earlier_files_are_read_however_numpy_prints(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    as_earlier(monkeypatch, path, many_words())
    with h5py.File(path, "r") as file:
        assert "content_sha256" in file.attrs and "content_digest" not in file.attrs
    for options in PRINTED:
        with np.printoptions(**options):
            assert runfile.read(path)["names"]["word"][1000] == "w1000"
    edit(path, lambda file: None)
    with np.printoptions(precision=3):
        assert "content_sha256" not in runfile.read(path).attributes
    edit(path, lambda file: file["names/word"].__setitem__(1, "x"))
    with pytest.raises(RunFileError, match="altered"):
        runfile.read(path)


def test_damage_reaches_hdf5_in_no_process_of_ours(tmp_path, monkeypatch):
    """Its attributes too: HDF5 would loop for ever over some of such bytes, past every signal."""
    path = tmp_path / "a.h5"
    runfile.write(path, example())
    raw = path.read_bytes()
    opened = []
    with monkeypatch.context() as patch:
        patch.setattr(runfile.h5py, "File", lambda *a, **k: opened.append(a))
        for offset in range(0, len(raw), 41):
            damaged = bytearray(raw)
            damaged[offset] ^= 16
            path.write_bytes(damaged)
            for read in (runfile.read, runfile.read_attributes):
                with pytest.raises(RunFileError) as error:
                    read(path)
                assert one_sentence(error)
    assert opened == []


def test_a_parse_that_loops_or_crashes_is_ended():
    def loop():
        while True:
            pass

    assert seal.comes_to_an_end(lambda: None, 0)
    assert seal.comes_to_an_end(lambda: 1 / 0, 0)
    assert not seal.comes_to_an_end(os.abort, 0)
    begin = time.process_time()
    assert not seal.comes_to_an_end(loop, 0)
    assert time.process_time() - begin < 0.5  # the work is the child's


def test_attributes_are_read_again_only_where_a_file_changed(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    runfile.write(path, example())
    checks, state_of = [], seal.state_of
    monkeypatch.setattr(seal, "state_of", lambda file: checks.append(1) or state_of(file))
    for _ in range(3):
        assert runfile.read_attributes(path)["seed"] == 3
    assert len(checks) == 1
    runfile.write(path, RunFile({"seed": 4}, {}))
    assert runfile.read_attributes(path)["seed"] == 4 and len(checks) == 2
    raw = bytearray(path.read_bytes())
    at = os.stat(path)
    raw[200] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))  # the same length and time
    for _ in range(3):
        with pytest.raises(RunFileError, match="altered"):
            runfile.read_attributes(path)
    assert len(checks) == 3


# --- forged files ---------------------------------------------------------------------------------

FORGED = [("updated", "x"), ("updated", float("nan")), ("updated", -1.0), ("updated", 1e300),
          ("started", [1.0, 2.0]), ("wall_s", "long"), ("done_share", float("nan")),
          ("done_share", "half"), ("checkpoint_s", -60.0), ("pid", 10**15), ("pid", -1),
          ("pid", 0), ("pid", "1"), ("parameters", "not json"), ("parameters", "[1]"),
          ("parameters", "[" * 100_000), ("versions", "7"), ("points", "not json"),
          ("points", '{"a": 1}'), ("points", "[1, 2]"), ("points", '["/etc/passwd"]'),
          ("points", 3), ("status", 7), ("hostname", 1.5), ("seed", "one"), ("part_of", 3),
          ("card", 1), ("title", [1, 2]), ("run_id", False), ("cards", "[]]")]


@pytest.mark.parametrize("key, value", FORGED)
def test_attributes_of_a_wrong_type_are_one_sentence(tmp_path, key, value):
    path = tmp_path / "a.h5"
    runfile.write(path, RunFile({key: value}, {}))
    for read in (runfile.read, runfile.read_attributes):
        with pytest.raises(RunFileError, match=f"its attribute {key} is") as error:
            read(path)
        assert one_sentence(error)


def test_parts_in_a_circle_and_parts_of_nothing(tmp_path):
    for name, whole in (("a", "b.h5"), ("b", "deep/c.h5"), ("deep/c", "../a.h5"), ("d", "d.h5"),
                        ("e", "f.h5"), ("g", "deep/h.h5"), ("deep/h", "../i.h5"), ("i", None)):
        attributes = {"title": name} | ({"part_of": whole} if whole else {})
        runfile.write(tmp_path / f"{name}.h5", RunFile(attributes, {}))
    for name in ("a", "b", "deep/c", "d"):
        with pytest.raises(RunFileError, match="a part of itself") as error:
            runfile.whole_of(tmp_path / f"{name}.h5")
        assert one_sentence(error)
    with pytest.raises(RunFileError, match=r"there is no file .*f\.h5"):
        runfile.whole_of(tmp_path / "e.h5")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.h5").symlink_to(tmp_path / "g.h5")
    for path in (tmp_path / "g.h5", tmp_path / "elsewhere" / "link.h5"):
        found, run = runfile.whole_of(path)
        assert found.name == "i.h5" and run.attributes["title"] == "i"


# --- links ----------------------------------------------------------------------------------------


def test_a_run_is_written_behind_links(tmp_path):
    """A link to a file, to nothing yet, and to a folder: the link stays, and there is one lock."""
    (tmp_path / "there").mkdir()
    (tmp_path / "file.h5").symlink_to("there/a.h5")
    (tmp_path / "chain.h5").symlink_to("file.h5")
    (tmp_path / "folder").symlink_to("there")
    names = [tmp_path / name for name in ("file.h5", "chain.h5", "folder/a.h5", "there/a.h5")]
    for k, path in enumerate(names):
        runfile.write(path, RunFile({"k": k}, {}))
        assert [runfile.read(name).attributes["k"] for name in names] == [k] * 4
        lock = Lock(path)
        lock.acquire()
        for name in names:
            with pytest.raises(runfile.BusyError):
                Lock(name).acquire()
        lock.release()
    assert (tmp_path / "file.h5").is_symlink() and (tmp_path / "folder").is_symlink()
    assert os.listdir(tmp_path / "there") == ["a.h5"]


# --- files that are none --------------------------------------------------------------------------


def test_missing_folder_and_foreign_files(tmp_path):
    cases = {"missing.h5": "there is no file", "folder": "is a folder", "text.h5": "not an HDF5",
             "empty.h5": "not an HDF5", "foreign.h5": "not a run file of phasegrok",
             "old.h5": "phasegrok-0", "pipe": "a device or a pipe", "bad\0name": "cannot be read"}
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.h5").write_text("energy,log_g\n0,1\n")
    (tmp_path / "empty.h5").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, convention in (("foreign", None), ("old", "phasegrok-0")):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"] = np.arange(3)
            if convention:
                file.attrs["Conventions"] = convention
    for name, words in cases.items():
        with pytest.raises(RunFileError, match=words) as error:
            runfile.read(tmp_path / name)
        assert one_sentence(error), name


AS_NOBODY = """
import os, sys
from pathlib import Path
from phasegrok.run import lock, runfile
import h5py, numpy
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for call in (lambda: runfile.read(Path(sys.argv[1])),
             lambda: runfile.write(Path(sys.argv[2]), runfile.RunFile({}, {})),
             lambda: lock.Lock(Path(sys.argv[2])).acquire()):
    try:
        call()
        print("no error")
    except runfile.RunFileError as error:
        print(error)
"""


def test_files_without_permission(tmp_path):
    runfile.write(tmp_path / "a.h5", example())
    (tmp_path / "a.h5").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o500)
    paths = [tmp_path / "a.h5", tmp_path / "closed" / "b.h5"]
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, *map(str, paths)],
                          capture_output=True, text=True, cwd="/")
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and done.stderr == "", done.stderr
    assert "may not be read" in lines[0]
    assert lines[1].startswith("cannot write") and "Permission denied" in lines[1]
    assert lines[2].startswith("cannot write in") and "Permission denied" in lines[2]


# --- writing that fails ---------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from phasegrok.run import runfile
path = Path(sys.argv[1])
big = runfile.RunFile({"title": "big"}, {}, {"theta": np.zeros(100_000)})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        runfile.write(path, big)
        print("no error")
    except runfile.WriteError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(runfile.read(path).attributes["title"])
runfile.write(path, big)
print(runfile.read(path).attributes["title"])
"""


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """Three checkpoints fail, the old file stays; when there is room again the next one works."""
    runfile.write(tmp_path / "a.h5", example())
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path / "a.h5")],
                          capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and done.stderr == "", done.stderr
    for line in lines[:3]:
        assert line.startswith("cannot write") and "File too large" in line
        assert line.endswith("the last checkpoint there is whole")
    assert lines[3:] == ["three levels", "big"]
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.h5"
    runfile.write(path, example())
    before = path.read_bytes()

    def fails(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(runfile.os, step, fails)
        with pytest.raises(WriteError, match="No space left on device"):
            runfile.write(path, RunFile({"title": "new"}, {}))
        with pytest.raises(WriteError, match="nothing was written"):
            runfile.write(tmp_path / "b.h5", RunFile({"title": "new"}, {}))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.h5"]


# --- one writer -----------------------------------------------------------------------------------


def a_dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_parts_of_dead_processes_are_swept(tmp_path):
    host, dead = socket.gethostname(), a_dead_pid()
    swept = [f".a[1].h5.{host}-{dead}.part", f".a[1].h5.{host}-{10**30}.part"]
    kept = [f".a[1].h5.{host}-{os.getpid()}.part", f".a[1].h5.elsewhere-{dead}.part",
            f".b.h5.{host}-{dead}.part", f".a[1].h5.{host}-x.part", "a[1].h5"]
    for name in (*swept, *kept):
        (tmp_path / name).write_bytes(b"")
    lock = Lock(tmp_path / "a[1].h5")
    lock.acquire()
    lock.release()
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


HOLD = """
import sys, time
from pathlib import Path
from phasegrok.run.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_refuses_a_second_process_and_survives_none(tmp_path):
    path = tmp_path / "a.h5"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE,
                          text=True) as child:
        try:
            assert child.stdout.readline() == "held\n"
            with pytest.raises(RunFileError, match="another process") as error:
                Lock(path).acquire()
            assert one_sentence(error)
            Lock(tmp_path / "b.h5").acquire()  # another name is free
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
    lock = Lock(path)
    lock.acquire()
    with pytest.raises(RunFileError, match="another process"):
        Lock(path).acquire()  # nor twice in one process
    lock.release()
    lock.release()
    Lock(path).acquire()


RACE = """
import sys, time
from pathlib import Path
from phasegrok.run.lock import Lock, RunFileError
mark = Path(sys.argv[1] + ".mark")
taken = 0
end = time.monotonic() + 1.0
while time.monotonic() < end:
    lock = Lock(Path(sys.argv[1]))
    try:
        lock.acquire()
    except RunFileError:
        continue
    mark.touch(exist_ok=False)  # fails where two hold the lock
    mark.unlink()
    taken += 1
    lock.release()
print(taken)
"""


def test_the_lock_has_one_owner_while_others_come_and_go(tmp_path):
    children = [subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path / "a.h5")],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for _ in range(3)]
    results = [child.communicate() for child in children]
    assert [error for _, error in results] == ["", "", ""]
    assert sum(int(out) for out, _ in results) > 50


def test_a_live_run_can_be_read(tmp_path):
    """A reader meets the old file or the new one, never a half."""
    path = tmp_path / "a.h5"
    child = subprocess.Popen([sys.executable, "-c", (
        "import sys, time; from pathlib import Path; import numpy as np\n"
        "from phasegrok.run import runfile\n"
        "end = time.monotonic() + 1.5\nk = 0\n"
        "while time.monotonic() < end:\n"
        "    k += 1\n"
        "    g = runfile.Group(); g.add('x', np.full(1000 + k, k), 'x')\n"
        "    runfile.write(Path(sys.argv[1]), runfile.RunFile({'k': k}, {'series': g}))\n"),
        str(path)])
    read = set()
    while child.poll() is None:
        if path.exists():
            run = runfile.read(path)
            k = run.attributes["k"]
            assert run["series"]["x"].tolist() == [k] * (1000 + k)
            read.add(k)
        else:
            time.sleep(0.01)
    assert child.wait() == 0 and len(read) > 10
