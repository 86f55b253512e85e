"""What the tests of theory share: exact tables, all states of a lattice, z-scores."""

import math
from collections import Counter

import numpy as np
from repository import REFERENCE


def table(name):
    """Rows of an exact table as tuples of Python integers."""
    lines = (REFERENCE / name).read_text().splitlines()[1:]
    return [tuple(int(word) for word in line.split(",")) for line in lines]


def marginal(rows):
    """Number of states by energy of a joint table."""
    total = Counter()
    for row in rows:
        total[row[0]] += row[-1]
    return sorted(total.items())


def joint_rows(energy, second, counts):
    return [
        (int(energy[i]), int(second[j]), int(counts[i, j])) for i, j in np.argwhere(counts != 0)
    ]


def lattice_states(q, L):
    """All states of a q-colour L x L lattice, shape (q^N, L, L)."""
    index = np.arange(q ** (L * L))
    digits = index[:, None] // q ** np.arange(L * L) % q
    return digits.reshape(-1, L, L).astype(np.int8)


def z_score(samples, expected):
    """Deviation of the mean in standard errors; the errors must be able to see 3 %."""
    error = samples.std(ddof=1) / math.sqrt(samples.size)
    assert error < 0.01 * abs(expected)
    return (samples.mean() - expected) / error
