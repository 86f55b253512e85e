"""Scans: every point in its own file, shares of an array, a point that fails, the live table."""

import numpy as np
import pytest

from phasegrok import runfile

SCRIPT = '''"""Energy of the chain at several sizes."""
from dataclasses import dataclass
from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """None."""


def measure(job: Job) -> None:
    """One size."""
    from phasegrok.protocols import sampling
    protocol = sampling(job.card)
    job.finish(protocol.result(job.drive(protocol)))


def run(job: Job) -> None:
    """All sizes."""
    from phasegrok.runfile import Group
    from phasegrok.scan import Point, map_points
    sizes = [6, 8, 10]
    runs = map_points(job, measure, [Point(f"N={n}", job.card.resized(n)) for n in sizes])
    group = Group()
    group.add("size", sizes, "size", "1", "spins")
    for name in ("energy", "energy_err"):
        group.add(name, [r["averages"][name][0] for r in runs], "size", "energy", name)
    job.finish({"sizes": group})


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["glauber-chain"], __file__, scan=True)
'''
WORDS = ("glauber-chain", "--set", "sample.temperatures=1.5:2.0:2", "--set", "sample.sweeps=2000",
         "--set", "sample.equilibration=200", "--out", "found")


@pytest.fixture
def script(tmp_path):
    """A script of the user's own."""
    path = tmp_path / "sizes.py"
    path.write_text(SCRIPT)
    return path


def energies(folder):
    """Energies of a finished scan, and their z against the ring's exact ones at T = 1.5."""
    run = runfile.read(folder / "found" / "scan.h5")
    assert run.attributes["status"] == "done"
    group = run["sizes"]
    t = np.tanh(1.0 / 1.5)
    exact = np.array([-t * (1.0 + t ** (n - 2)) / (1.0 + t**n) for n in group["size"]])
    return group["energy"], (group["energy"] - exact) / group["energy_err"]


def test_all_points_are_measured_each_in_its_file(call, no_figures, script, tmp_path):
    done = call(script, *WORDS)
    assert done.code == 0, done.err
    _, z = energies(tmp_path)
    assert np.abs(z).max() < 4.0
    for n in (6, 8, 10):
        assert runfile.read(tmp_path / "found" / f"N={n}.h5").attributes["status"] == "done"
    table = call("phasegrok", "status", tmp_path / "found")
    assert table.code == 0 and "N=10" in table.out and "done" in table.out


def test_an_array_does_its_shares_and_the_last_one_ends_the_scan(call, no_figures, script,
                                                                tmp_path):
    """Also: the result is that of one process, to the last bit."""
    first = call(script, *WORDS, "--point", "1/2")
    assert first.code == 0 and not (tmp_path / "found" / "N=8.h5").exists()
    assert call("phasegrok", "status", tmp_path / "found").out.count("1 missing") == 1
    assert call(script, *WORDS, "--point", "2/2").code == 0
    assert call(script, *WORDS).code == 0
    pieces = energies(tmp_path)[0]
    (tmp_path / "found").rename(tmp_path / "before")
    assert call(script, *WORDS).code == 0
    assert np.array_equal(energies(tmp_path)[0], pieces)


def test_a_point_that_is_gone_is_measured_again(call, no_figures, script, tmp_path):
    assert call(script, *WORDS).code == 0
    before = energies(tmp_path)[0]
    (tmp_path / "found" / "N=8.h5").unlink()
    (tmp_path / "found" / "scan.h5").unlink()
    assert call(script, *WORDS).code == 0
    assert np.array_equal(energies(tmp_path)[0], before)
