"""The table of runs: what files say, and what becomes of it where they say nonsense."""

import socket
import time
from pathlib import Path

import numpy as np
import pytest

from phasegrok.groups import Group
from phasegrok.run import progress, runfile, seal, status
from phasegrok.run.runfile import RunFile


def write(name: str, **attributes) -> Path:
    """A run file with text and numbers in it."""
    group = Group(attributes={"note": "ß"})
    group.add("word", ["a", "bb"], "word")
    path = Path(f"{name}.h5")
    runfile.write(path, RunFile({"title": name, "updated": time.time()} | attributes,
                                {"words": group}))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("whole", status="done", hostname="here")
    write("cut", status="interrupted", done_share=0.25)
    return tmp_path


def rows(path=".") -> dict[str, status.Row]:
    return {row.name: row for row in status.rows_of(Path(path))}


def test_a_damaged_file_is_said_and_the_others_are_shown(folder, call):
    """Wherever it is damaged; the attributes of a scan's main file too."""
    write("scan", status="running", points='["whole", "cut", "later"]')
    raw = Path("cut.h5").read_bytes()
    for offset in (*range(50, len(raw), 301), len(raw) - 40):
        damaged = bytearray(raw)
        damaged[offset] ^= 4
        Path("cut.h5").write_bytes(damaged)
        found = rows()
        assert found["cut"].status == "unreadable" and "altered" in found["cut"].note, offset
        assert found["whole"].status == "done"
    end = raw.rindex(b"\nphasegrok-seal")  # another program may drop the seal, and only that
    for length in (0, 20, 1000, end - 200, end, len(raw) - 1):
        Path("cut.h5").write_bytes(raw[:length])
        assert rows()["whole"].status == "done"
        assert rows()["cut"].status == ("interrupted" if length == end else "unreadable")
    Path("scan.h5").write_bytes(raw[:700])
    shown = call("phasegrok", "status", folder)
    assert shown.code == 0 and "2 unreadable" in shown.out and "Traceback" not in shown.err


@pytest.mark.parametrize("attributes", [
    {"updated": "x"}, {"updated": float("nan")}, {"done_share": "half"}, {"pid": 10**15},
    {"pid": -7}, {"points": "not json"}, {"points": '["../../../etc/x"]'},
    {"points": '["/etc/x"]'}, {"checkpoint_s": float("nan")}, {"wall_s": -1.0},
    {"parameters": "not json"}, {"status": 3}, {"hostname": np.arange(2)}])
def test_forged_attributes_are_one_sentence_in_the_table(folder, call, attributes):
    write("forged", **({"status": "running", "hostname": socket.gethostname()} | attributes))
    shown = call("phasegrok", "status", folder)
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert shown.code == 0 and " done " in lines["whole"] and "interrupted" in lines["cut"]
    assert "unreadable" in lines["forged"] and "which no run writes" in lines["forged"]
    for words in (("inspect", "forged.h5"), ("resume", "forged.h5"), ("plot", "forged.h5")):
        refused = call("phasegrok", *words)
        assert refused.code == 2 and len(refused.errors) == 1, refused.err


@pytest.mark.parametrize("attributes", [
    {"done_share": 1e-300, "wall_s": 1e10}, {"done_share": 7.0}, {"checkpoint_s": float("inf")},
    {"updated": 9e10}, {"pid": 2**31 - 1}, {"status": "paused"}])
def test_odd_attributes_are_shown(folder, attributes):
    write("odd", **({"status": "running", "hostname": "elsewhere", "wall_s": 10.0} | attributes))
    text = status.table_of(status.rows_of(Path()))
    assert "odd " in text and "3 runs" in text
    assert attributes.get("status", "running") in text


def test_a_status_is_read_once_a_change(folder, monkeypatch):
    read = []
    with monkeypatch.context() as patch:
        state_of = seal.state_of
        patch.setattr(seal, "state_of", lambda file: read.append(Path(file.name)) or state_of(file))
        for _ in range(3):
            rows()
        assert sorted(path.name for path in read) == ["cut.h5", "whole.h5"]
        write("cut", status="done")
        assert rows()["cut"].status == "done" and len(read) == 3


def test_durations_in_words():
    said = {0.0: "0 s", 89.9: "89 s", 90.0: "1 min 30 s", 3723.0: "62 min 03 s",
            11100.0: "3 h 05 min", float("nan"): "-", float("inf"): "-", -1.0: "-", 1e300: "-"}
    assert {seconds: progress.duration(seconds) for seconds in said} == said
