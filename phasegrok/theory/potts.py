"""Square-lattice q-state Potts model: transition point, interfaces and exact densities of states.

E = -sum_<ij> delta(s_i, s_j) on the periodic square lattice, N = L^2 sites, k_B = 1.  The order
parameter is the largest number of sites of one colour.  L >= 3, because L = 2 would double bonds.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from phasegrok.compiled import kernel

_LARGEST_ENUMERATION = 4_000_000_000  # states after the colour of one site is fixed


def _check_colours(q: float) -> None:
    if not (q >= 1 and math.isfinite(q)):
        raise ValueError(f"q = {q}: the number of colours is at least 1")


def transition_temperature(q: float) -> float:
    """Temperature of the order-disorder transition, T_c = 1 / ln(1 + sqrt q), from self-duality.

    Potts, Proc. Camb. Phil. Soc. 48 (1952) 106; first-order for q > 4, continuous for q <= 4.

    Raises
    ------
    ValueError
        If q < 1 or infinite.
    """
    _check_colours(q)
    return 1.0 / math.log1p(math.sqrt(q))


def latent_heat(q: float) -> float:
    """Latent heat per site at T_c, e_disordered - e_ordered; zero for q <= 4.

    2 (1 + 1/sqrt q) tanh(Theta/2) prod_{n>=1} tanh^2(n Theta), 2 cosh Theta = sqrt q (Baxter,
    J. Phys. C 6 (1973) L445).  The product is theta_4(0, exp(-2 Theta))^2 and is summed, by
    Jacobi's imaginary transformation, as (2 pi/Theta) [sum_{n>=0} exp(-pi^2 (n + 1/2)^2/(2
    Theta))]^2 where Theta is small, so that it converges at once for every q.

    Parameters
    ----------
    q : float
        Number of colours; need not be an integer.

    Raises
    ------
    ValueError
        If q < 1 or infinite.
    """
    _check_colours(q)
    if q <= 4:
        return 0.0
    theta = math.acosh(0.5 * math.sqrt(q))
    n = np.arange(1, 40)
    if theta > 1.0:
        product = float(np.prod(np.tanh(n * theta) ** 2))
    else:
        terms = np.exp(-((math.pi * (n - 0.5)) ** 2) / (2.0 * theta))
        product = 2.0 * math.pi / theta * float(terms.sum()) ** 2
    return 2.0 * (1.0 + 1.0 / math.sqrt(q)) * math.tanh(0.5 * theta) * product


def transition_energies(q: float) -> tuple[float, float]:
    """Energies per site of the ordered and the disordered phase at T_c, (e_o, e_d).

    Duality fixes their mean at -(1 + 1/sqrt q); their difference is the latent heat.  For q <= 4
    both are the critical energy.  Raises ValueError if q < 1.
    """
    half = 0.5 * latent_heat(q)
    middle = -(1.0 + 1.0 / math.sqrt(q))
    return middle - half, middle + half


def disordered_correlation_length(q: float) -> float:
    """Correlation length of the disordered phase at T_c along a lattice axis, in lattice spacings.

    1/xi_d = 4 sum_{n>=0} ln[(1 + w_n)/(1 - w_n)], w_n = 1/(sqrt 2 cosh[(n + 1/2) pi^2/(2 v)]), with
    2 cosh 2v = sqrt q (Buffenoir and Wallon, J. Phys. A 26 (1993) 3045; Klumper, Schadschneider and
    Zittartz, Z. Phys. B 76 (1989) 247).  For large q it is summed, by Poisson's formula, as
    2 v + 4 sum_{m>=1} (-1)^m sinh(m v)/(m cosh 2 m v): (1/2) ln q from a chain of satisfied bonds,
    each 1/sqrt q, and -4 q^(-1/4) from the two walls of the ordered droplet around it, whose steps
    cost q^(-1/4) each.  Infinite for q <= 4, where the transition is continuous.

    Parameters
    ----------
    q : float
        Number of colours; need not be an integer.

    Raises
    ------
    ValueError
        If q < 1 or infinite.
    """
    _check_colours(q)
    if q <= 4:
        return math.inf
    v = 0.5 * math.acosh(0.5 * math.sqrt(q))
    n = np.arange(1, 80)
    if v < 0.5:
        w = math.sqrt(0.5) / np.cosh(np.minimum((n - 0.5) * math.pi**2 / (2.0 * v), 700.0))
        return 1.0 / float(8.0 * np.arctanh(w).sum())
    y = np.exp(-n * v)
    terms = (-1.0) ** n * y * (1.0 - y**2) / (n * (1.0 + y**4))
    return 1.0 / (2.0 * v + 4.0 * float(terms.sum()))


def interface_tension(q: float) -> float:
    """Order-disorder interface tension at T_c along a lattice axis, in nats per lattice spacing.

    sigma_od = 1/(2 xi_d), from duality and complete wetting of the order-order interface by the
    disordered phase: Borgs and Janke, J. Phys. I France 2 (1992) 2011.  The free energy of the
    interface is T_c sigma_od.  Zero for q <= 4; raises ValueError as
    ``disordered_correlation_length``.
    """
    return 0.5 / disordered_correlation_length(q)


def _set_partitions(n: int, most: int) -> Iterator[tuple[int, ...]]:
    """Rows of n sites up to renaming of colours: first occurrences are 0, 1, 2, ..."""

    def extend(row: tuple[int, ...], used: int) -> Iterator[tuple[int, ...]]:
        if len(row) == n:
            yield row
            return
        for colour in range(min(used + 1, most)):
            yield from extend((*row, colour), max(used, colour + 1))

    yield from extend((), 0)


def _renamed(row: list[int], k: int) -> tuple[int, ...]:
    """The row with its colours beyond the first k renamed in the order in which they occur."""
    names: dict[int, int] = {}
    return tuple(c if c < k else names.setdefault(c, k + len(names)) for c in row)


def _bonds_in_row(row: tuple[int, ...]) -> int:
    return sum(row[x] == row[x - 1] for x in range(len(row)))


def _add_row(counts: dict, k: int, q: int, L: int, size: int) -> dict:
    """Replace one row of the torus by the next, site by site; polynomials in satisfied bonds."""
    for x in range(L):
        new: dict = defaultdict(lambda: np.zeros(size, dtype=object))
        for row, polynomial in counts.items():
            others = {c for y, c in enumerate(row) if y != x and c >= k}
            # colours of the first row or of other sites, one each; then all the unused ones at once
            choices = [(c, 1) for c in (*range(k), *others)]
            n_unused = q - k - len(others)
            above_is_single = row[x] >= k and row[x] not in others
            if above_is_single:
                choices.append((row[x], 1))
                n_unused -= 1
            if n_unused > 0:
                choices.append((q + k, n_unused))  # any name that does not occur
            for colour, multiplicity in choices:
                bonds = int(colour == row[x])
                bonds += x > 0 and colour == row[x - 1]
                bonds += x == L - 1 and colour == row[0]
                target = list(row)
                target[x] = colour
                shifted = new[_renamed(target, k)]
                shifted[bonds:] += multiplicity * polynomial[: size - bonds]
        counts = new
    return counts


def density_of_states(q: int, L: int) -> tuple[np.ndarray, list[int]]:
    """Exact number of states g(E) of the periodic L x L lattice, by transfer matrix.

    The first row runs over set partitions (its colours are named 0..k-1); in the current row the
    other q - k colours are told apart only by which sites share them, so the work does not grow
    with q.

    Parameters
    ----------
    q : int
        Number of colours, >= 2.
    L : int
        3 <= L <= 6; L = 4 takes about a second, L = 5 about a minute.

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    g_E : list of int, length n_E
        Number of states as Python integers; they sum to q^N.

    Raises
    ------
    ValueError
        If q < 2 or L is outside 3..6.
    """
    if q < 2:
        raise ValueError(f"q = {q}: the Potts model needs at least two colours")
    if not 3 <= L <= 6:
        raise ValueError(f"L = {L}: the transfer matrix takes L = 3 to 6")
    size = 2 * L * L + 1
    total = np.zeros(size, dtype=object)
    for first in _set_partitions(L, q):
        k = max(first) + 1
        start = np.zeros(size, dtype=object)
        start[_bonds_in_row(first)] = math.perm(q, k)
        counts: dict = {first: start}
        for _ in range(L - 1):
            counts = _add_row(counts, k, q, L, size)
        for row, polynomial in counts.items():
            bonds = sum(a == b for a, b in zip(row, first))
            total[bonds:] += polynomial[: size - bonds]
    satisfied = [b for b in range(size - 1, -1, -1) if total[b]]
    return -np.array(satisfied), [int(total[b]) for b in satisfied]


@kernel
def _enumerate(q, L, counts):
    """Count the states whose last site has colour 0 in ``counts[satisfied bonds, largest colour]``.

    Reflected mixed-radix Gray code (Knuth, The Art of Computer Programming 4A, 7.2.1.1, algorithm
    H): each step moves one site's colour by one.
    """
    N = L * L
    colour = np.zeros(N, np.int64)
    direction = np.ones(N, np.int64)
    focus = np.arange(N)
    occupation = np.zeros(q, np.int64)
    occupation[0] = N
    neighbour = np.empty((N, 4), np.int64)
    for i in range(N):
        x, y = i % L, i // L
        neighbour[i] = np.array(
            [(x + 1) % L + y * L, (x - 1) % L + y * L, x + (y + 1) % L * L, x + (y - 1) % L * L]
        )
    bonds = 2 * N
    while True:
        counts[bonds, occupation.max()] += 1
        i = focus[0]
        focus[0] = 0
        if i == N - 1:
            break
        old = colour[i]
        new = old + direction[i]
        for k in range(4):
            c = colour[neighbour[i, k]]
            bonds += (c == new) - (c == old)
        colour[i] = new
        occupation[old] -= 1
        occupation[new] += 1
        if new == 0 or new == q - 1:
            direction[i] = -direction[i]
            focus[i] = focus[i + 1]
            focus[i + 1] = i + 1


def joint_density_of_states(q: int, L: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact number of states g(E, n_max), n_max the sites of the commonest colour, by enumeration.

    Parameters
    ----------
    q : int
        Number of colours, >= 2.
    L : int
        Linear size, >= 3, with q^(N - 1) at most 4e9 (q = 3, L = 4: 1.4e7 states, under a second).

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    n_max : (N + 1,) int64
        0, 1, ..., N; the order parameter is n_max / N.
    g : (n_E, N + 1) int64
        Number of states, zero where none exists.

    Raises
    ------
    ValueError
        If q < 2, L < 3 or the states are too many.
    """
    N = L * L
    if q < 2 or L < 3:
        raise ValueError(f"q = {q}, L = {L}: at least two colours and L >= 3 are needed")
    if q ** (N - 1) > _LARGEST_ENUMERATION:
        raise ValueError(f"q = {q}, L = {L}: {q}^{N - 1} states are too many to enumerate")
    counts = np.zeros((2 * N + 1, N + 1), dtype=np.int64)
    _enumerate(q, L, counts)
    counts = q * counts[::-1]  # the fixed colour of the last site may be any of q
    keep = counts.any(axis=1)
    return (np.arange(2 * N + 1) - 2 * N)[keep], np.arange(N + 1), counts[keep]
