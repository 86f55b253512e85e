"""Make every exact table of this folder: python data/reference/make_reference.py [FOLDER].

Two files are instances, drawn once, and are read and not made: the bonds of a +-J Edwards-Anderson
lattice and the teacher and patterns of a perceptron.  README.md states the conventions.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from phasegrok.theory import ising, perceptron, potts

HERE = Path(__file__).resolve().parent


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[int]]) -> None:
    """Write integers in full, one row a line, under a header."""
    lines = [",".join(columns)]
    lines += [",".join(str(int(value)) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def occupied(energy, second, counts) -> list[tuple[int, int, int]]:
    """Rows (energy, second quantity, number of states) of a joint table where states exist."""
    return [
        (int(energy[i]), int(second[j]), int(counts[i, j])) for i, j in np.argwhere(counts != 0)
    ]


def make_ising(folder: Path) -> None:
    for L in (4, 8, 16):
        energy, g_E = ising.exact_density_of_states(L)
        write_table(
            folder / f"ising2d_gE_L{L}.csv", ("energy", "number_of_states"), zip(energy, g_E)
        )
    for L in (4, 8):
        write_table(
            folder / f"ising2d_gEM_L{L}.csv",
            ("energy", "magnetisation", "number_of_states"),
            occupied(*ising.joint_density_of_states(L)),
        )


def make_potts(folder: Path) -> None:
    for q in (3, 10):
        energy, g_E = potts.density_of_states(q, 4)
        write_table(
            folder / f"potts_gE_q{q}_L4.csv", ("energy", "number_of_states"), zip(energy, g_E)
        )
    write_table(
        folder / "potts_gEn_q3_L4.csv",
        ("energy", "largest_colour_count", "number_of_states"),
        occupied(*potts.joint_density_of_states(3, 4)),
    )


def make_edwards_anderson(folder: Path) -> None:
    bonds = np.loadtxt(HERE / "edwards_anderson_L4_bonds.csv", delimiter=",", skiprows=1, dtype=int)
    energy, _, counts = ising.enumerate_bonds(16, bonds[:, :2], bonds[:, 2])
    write_table(
        folder / "edwards_anderson_L4_gE.csv",
        ("energy", "number_of_states"),
        zip(energy, counts.sum(axis=1)),
    )


def make_perceptron(folder: Path) -> None:
    rows = np.loadtxt(HERE / "perceptron_N11_P11_patterns.csv", delimiter=",", dtype=int)
    counts = perceptron.joint_counts(rows[1:], rows[0])
    write_table(
        folder / "perceptron_N11_P11_counts.csv",
        ("energy", "differing_weights", "number_of_states"),
        occupied(np.arange(counts.shape[0]), np.arange(counts.shape[1]), counts),
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    make_ising(folder)
    make_potts(folder)
    make_edwards_anderson(folder)
    make_perceptron(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
