"""Cluster dynamics of Ising and Potts spins: Wolff and Swendsen-Wang.

Both flip clusters of the bonds of Fortuin and Kasteleyn (Physica 57 (1972) 536): a bond whose
energy is at its minimum is active with probability p = 1 - exp(-gap/T), where gap is the energy
that it would cost to break it: 2 |J| for Ising spins, 1 for colours.

- Swendsen-Wang (Phys. Rev. Lett. 58 (1987) 86): all bonds are drawn, and every cluster gets a new
  state, drawn uniformly.  One sweep is one such update.  A field h is a bond of strength |h| of
  every spin to one ghost spin; the clusters that hold the ghost spin stay as they are.
- Wolff (Phys. Rev. Lett. 62 (1989) 361): the cluster of a random site gets another state.  One
  sweep is a fixed number of clusters.  (Clusters until N spins were flipped would be measured more
  often after large clusters, which biases averages.)

Where couplings of both signs compete (spin glasses) both are correct but inefficient: the clusters
percolate above the temperatures of interest, and flipping them all is a global symmetry.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel, over_threads
from phasegrok.dynamics.replicas import WORTH_A_THREAD, LocalStates, Replicas
from phasegrok.rng import below, next_word, uniform
from phasegrok.systems.discrete import prepare
from phasegrok.systems.ising import Ising
from phasegrok.systems.potts import Potts2D

DYNAMICS = ("wolff", "swendsen-wang")
_TO_UNIT = 1.0 / 18446744073709551616.0  # 2^-64


class _Bonds(NamedTuple):
    """Neighbours of site i and the bonds to them at ``first[i]:first[i+1]``; every bond twice."""

    first: np.ndarray
    neighbour: np.ndarray
    coupling: np.ndarray


def _bonds(system) -> _Bonds:
    if isinstance(system, Ising):
        return _Bonds(system.first, system.neighbour, system.coupling)
    n, z = system.neighbour.shape
    return _Bonds(np.arange(0, n * z + 1, z), system.neighbour.ravel(), np.ones(n * z))


def _active(gap, temperature: float):
    """Probability p = 1 - exp(-gap/T) that a satisfied bond is active; at T = 0: 1."""
    if temperature > 0.0:
        return -np.expm1(-np.asarray(gap) / temperature)
    return (np.asarray(gap) > 0.0).astype(float)


def _square_bits(system) -> int:
    """log2 L of a ferromagnetic square lattice of equal couplings, where L = 2^k; else 0."""
    if not isinstance(system, Ising) or system.dimension != 2 or system.h != 0.0:
        return 0
    nearest_only = len(system.neighbour) == 4 * system.n_sites
    equal = system.ferromagnet and bool(np.all(system.coupling == system.coupling[0]))
    power_of_two = system.L & (system.L - 1) == 0
    return system.L.bit_length() - 1 if nearest_only and equal and power_of_two else 0


@kernel(allocates=False)
def _satisfied(coupling, a, b):
    """Whether a bond between states a and b has its lower energy."""
    return (a == b) if coupling > 0.0 else (coupling < 0.0 and a != b)


@kernel(allocates=False)
def _wolff(bonds, q, p_k, n_clusters, sigma, cache, values, rng, queue, member):
    """Flip ``n_clusters`` Wolff clusters on any graph and keep E, Phi and the cache true.

    ``q`` is the number of colours, or 0 for Ising spins.  ``member`` is 0 everywhere on entry and
    on return.
    """
    n = sigma.shape[0]
    for _ in range(n_clusters):
        seed = below(rng, n)
        old = np.int64(sigma[seed])
        new = -old
        if q > 0:
            new = below(rng, q - 1)
            new += int(new >= old)
        member[seed] = 1
        queue[0] = seed
        head, size = 0, 1
        while head < size:
            i = queue[head]
            head += 1
            for k in range(bonds.first[i], bonds.first[i + 1]):
                j = bonds.neighbour[k]
                if (member[j] == 0 and _satisfied(bonds.coupling[k], sigma[i], sigma[j])
                        and uniform(rng) < p_k[k]):
                    member[j] = 1
                    queue[size] = j
                    size += 1
        values[0] += _boundary_change(bonds, q, new, sigma, queue, size, member)
        magnetisation = 0
        for k in range(size):
            i = queue[k]
            member[i] = 0
            magnetisation -= 2 * sigma[i]
            sigma[i] = -sigma[i] if q == 0 else new
        if q == 0:
            values[1] += magnetisation
        else:
            cache[old] -= size
            cache[new] += size
            largest = 0
            for colour in range(q):
                largest = max(largest, cache[colour])
            values[1] = largest / n


@kernel(allocates=False)
def _boundary_change(bonds, q, new, sigma, queue, size, member):
    """E after the cluster got its new state, minus E: a sum over the bonds that leave it."""
    change = 0.0
    for m in range(size):
        i = queue[m]
        for k in range(bonds.first[i], bonds.first[i + 1]):
            j = bonds.neighbour[k]
            if member[j] == 0:
                if q == 0:
                    change += 2.0 * bonds.coupling[k] * sigma[i] * sigma[j]
                else:
                    change += float(int(sigma[j] == sigma[i]) - int(sigma[j] == new))
    return change


@kernel(inline="always", allocates=False)
def _next(a, b, c, d):
    """`rng.next_word` on four words held in registers, which memory writes would spill."""
    word = a + d
    word = ((word << np.uint64(23)) | (word >> np.uint64(41))) + a
    t = b << np.uint64(17)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << np.uint64(45)) | (d >> np.uint64(19))
    return word, a, b, c, d


@kernel(inline="always", allocates=False)
def _push(j, joins, spin, sigma, stack, top):
    """Flip site j and put it on the stack if it ``joins``, without a branch."""
    sigma[j] = -spin if joins else sigma[j]
    stack[top] = j
    return top + np.uint64(joins)


@kernel(allocates=False)
def _wolff_square(bits, p, n_clusters, sigma, rng, stack):
    """Flip Wolff clusters on the square lattice, L = 2^bits, equal couplings; returns M's change.

    One word serves the four bonds of a site.  A bond is active if its 16 bits are below the
    leading 16 bits of p; where they are equal (once in 2^16) a further word decides the rest, so p
    is exact to 2^-53.
    """
    one = np.uint64(1)
    L = one << np.uint64(bits)
    column = L - one
    site = L * L - one
    low = np.uint64(65535)
    leading = np.int64(p * 65536.0)
    rest = p * 65536.0 - leading
    limit = np.uint64(leading)
    change = 0
    for _ in range(n_clusters):
        i = np.uint64(below(rng, sigma.shape[0]))
        a, b, c, d = rng[0], rng[1], rng[2], rng[3]
        spin = sigma[i]
        sigma[i] = -spin
        stack[0] = i
        top = one
        size = 0
        while top > np.uint64(0):
            top -= one
            size += 1
            i = np.uint64(stack[top])
            word, a, b, c, d = _next(a, b, c, d)
            w0 = word & low
            w1 = (word >> np.uint64(16)) & low
            w2 = (word >> np.uint64(32)) & low
            w3 = word >> np.uint64(48)
            if (w0 == limit) | (w1 == limit) | (w2 == limit) | (w3 == limit):
                word, a, b, c, d = _next(a, b, c, d)
                if np.float64(word) * _TO_UNIT < rest:  # shared by ties: two in one word are 2^-32
                    w0 -= np.uint64(w0 == limit)
                    w1 -= np.uint64(w1 == limit)
                    w2 -= np.uint64(w2 == limit)
                    w3 -= np.uint64(w3 == limit)
            j = (i & ~column) | ((i + one) & column)
            top = _push(j, (sigma[j] == spin) & (w0 < limit), spin, sigma, stack, top)
            j = (i & ~column) | ((i - one) & column)
            top = _push(j, (sigma[j] == spin) & (w1 < limit), spin, sigma, stack, top)
            j = (i + L) & site
            top = _push(j, (sigma[j] == spin) & (w2 < limit), spin, sigma, stack, top)
            j = (i - L) & site
            top = _push(j, (sigma[j] == spin) & (w3 < limit), spin, sigma, stack, top)
        rng[0], rng[1], rng[2], rng[3] = a, b, c, d
        change -= 2 * spin * size
    return change


@kernel(allocates=False)
def _product(a, b):
    total = 0
    for i in range(a.shape[0]):
        total += np.int32(a[i]) * np.int32(b[i])
    return total


@kernel(allocates=False)
def _bond_sum_square(L, sigma):
    """Sum of s s' over the nearest-neighbour bonds of the periodic square lattice.

    Sums over flat arrays, which the compiler vectorises; the rows' ends are then put right.
    """
    n = sigma.shape[0]
    total = _product(sigma[: n - L], sigma[L:]) + _product(sigma[n - L :], sigma[:L])
    total += _product(sigma[: n - 1], sigma[1:]) + sigma[n - 1] * sigma[0]
    for end in range(L - 1, n, L):
        wrong = int(sigma[(end + 1) % n])
        total += sigma[end] * (int(sigma[end + 1 - L]) - wrong)
    return total


@kernel(allocates=False)
def _wolff_square_sweeps(bits, J, p, n_sweeps, n_clusters, sigma, values, rng, stack, energy_t,
                         phi_t):
    for t in range(n_sweeps):
        values[1] += _wolff_square(bits, p, n_clusters, sigma, rng, stack)
        if energy_t.shape[0] > 0:
            energy_t[t] = -J * _bond_sum_square(1 << bits, sigma)
            phi_t[t] = values[1]
    values[0] = -J * _bond_sum_square(1 << bits, sigma)


@kernel(allocates=False)
def _wolff_sweeps(bonds, q, p_k, n_sweeps, n_clusters, sigma, cache, values, rng, queue, member,
                  energy_t, phi_t):
    for t in range(n_sweeps):
        _wolff(bonds, q, p_k, n_clusters, sigma, cache, values, rng, queue, member)
        if energy_t.shape[0] > 0:
            energy_t[t] = values[0]
            phi_t[t] = values[1]


@kernel(allocates=False)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel(allocates=False)
def _join(parent, i, j):
    """Unite two clusters; the root is the lowest number, so every parent stands before a child."""
    i = _root(parent, i)
    j = _root(parent, j)
    if i < j:
        parent[j] = i
    else:
        parent[i] = j


@kernel(allocates=False)
def _swendsen_wang(bonds, q, p_k, h, p_field, sigma, rng, parent, state):
    """One Swendsen-Wang update; node 0 is the ghost spin, site i is node i + 1."""
    n = sigma.shape[0]
    for i in range(n + 1):
        parent[i] = i
    for i in range(n):
        for k in range(bonds.first[i], bonds.first[i + 1]):
            j = bonds.neighbour[k]
            if (j > i and _satisfied(bonds.coupling[k], sigma[i], sigma[j])
                    and uniform(rng) < p_k[k]):
                _join(parent, i + 1, j + 1)
        if h * sigma[i] > 0.0 and uniform(rng) < p_field:
            _join(parent, 0, i + 1)
    state[0] = 1  # Ising: the factor of the cluster's spins; Potts: its colour
    for i in range(1, n + 1):
        parent[i] = parent[parent[i]]  # parents are roots already: they stand before their children
        root = parent[i]
        if root == i:
            if q == 0:
                state[i] = 1 - 2 * np.int64(next_word(rng) >> np.uint64(63))
            else:
                state[i] = below(rng, q)
        sigma[i - 1] = sigma[i - 1] * state[root] if q == 0 else state[root]


@kernel(allocates=False)
def _swendsen_wang_sweeps(system, bonds, q, p_k, h, p_field, n_sweeps, sigma, cache, values, rng,
                          parent, state, energy_t, phi_t):
    for t in range(n_sweeps):
        _swendsen_wang(bonds, q, p_k, h, p_field, sigma, rng, parent, state)
        if energy_t.shape[0] > 0:
            energy_t[t], phi_t[t] = prepare(system, sigma, cache)
    values[0], values[1] = prepare(system, sigma, cache)


def fits(systems: tuple, dynamics: str) -> str:
    """Empty if the clusters of ``dynamics`` can move the systems, else one sentence why not.

    Parameters
    ----------
    systems : tuple of DiscreteSystem
        Samples of one family.
    dynamics : {"wolff", "swendsen-wang"}
    """
    if dynamics not in DYNAMICS:
        return f"cluster dynamics is {' or '.join(DYNAMICS)}, not {dynamics}"
    if not all(isinstance(system, Ising | Potts2D) for system in systems):
        return "clusters are defined for Ising spins with pair couplings and for Potts colours"
    if dynamics == "wolff" and any(getattr(system, "h", 0.0) != 0.0 for system in systems):
        return "Wolff clusters need h = 0; use swendsen-wang in a field"
    return ""


@dataclasses.dataclass(frozen=True)
class Clusters(LocalStates):
    """Engine: cluster dynamics of Ising spins on any graph, and of the Potts model.

    Parameters
    ----------
    systems : tuple
        S samples (`Ising` or `Potts2D`) of equal N; replica r belongs to sample r // (R // S).
    dynamics : {"wolff", "swendsen-wang"}
        One sweep of "swendsen-wang" updates all bonds and all clusters once; one of "wolff" flips
        ``clusters`` clusters.  Neither has a physical time: tau is in units of such sweeps.
    clusters : int
        Wolff clusters a sweep.

    Raises
    ------
    ValueError
        Where `fits` says why the dynamics cannot be used, or ``clusters`` < 1.
    """

    systems: tuple
    dynamics: str
    clusters: int = 1

    def __post_init__(self):
        problem = fits(self.systems, self.dynamics)
        if problem or self.clusters < 1:
            raise ValueError(problem or f"{self.clusters} clusters a sweep: at least one")

    @property
    def name(self) -> str:
        """Dynamics and the meaning of a sweep, for the run file."""
        if self.dynamics == "wolff":
            return f"wolff, {self.clusters} cluster{'s' if self.clusters > 1 else ''} a sweep"
        return "swendsen-wang, all bonds once a sweep"

    @property
    def _stream(self) -> str:
        return "clusters"  # however many make a sweep

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung k by ``n_sweeps`` sweeps; record E and Phi after each in (R, n) arrays."""
        n_replicas = replicas.energy.shape[1]
        one = {"wolff": self._wolff, "swendsen-wang": self._swendsen_wang}[self.dynamics]

        def advance_one(r):
            values = np.array([replicas.energy[k, r], replicas.phi[k, r]])
            one(self._system_of(r, n_replicas), temperature, n_sweeps,
                replicas.configurations[k, r], replicas.cache[k, r], values, replicas.rng[k, r],
                energy_rt[r], phi_rt[r])
            replicas.energy[k, r], replicas.phi[k, r] = values

        if n_replicas * n_sweeps * self.systems[0].n_sites < WORTH_A_THREAD:
            for r in range(n_replicas):
                advance_one(r)
        else:
            over_threads(advance_one, n_replicas)

    def _wolff(self, system, temperature, n_sweeps, sigma, cache, values, rng, energy_t, phi_t):
        places = np.empty(system.n_sites + 1, dtype=np.uint32)  # one more: pushed without a branch
        bits = _square_bits(system)
        if bits:
            J = float(system.coupling[0])
            _wolff_square_sweeps(bits, J, float(_active(2.0 * J, temperature)), n_sweeps,
                                 self.clusters, sigma, values, rng, places, energy_t, phi_t)
            return
        bonds, q = _bonds(system), getattr(system, "q", 0)
        p_k = _active((1.0 if q else 2.0) * np.abs(bonds.coupling), temperature)
        member = np.zeros(system.n_sites, dtype=np.int8)
        _wolff_sweeps(bonds, q, p_k, n_sweeps, self.clusters, sigma, cache, values, rng, places,
                      member, energy_t, phi_t)

    def _swendsen_wang(self, system, temperature, n_sweeps, sigma, cache, values, rng, energy_t,
                       phi_t):
        bonds, q, h = _bonds(system), getattr(system, "q", 0), getattr(system, "h", 0.0)
        p_k = _active((1.0 if q else 2.0) * np.abs(bonds.coupling), temperature)
        parent = np.empty(system.n_sites + 1, dtype=np.int32)
        state = np.empty(system.n_sites + 1, dtype=np.int8)
        _swendsen_wang_sweeps(system, bonds, q, p_k, h, float(_active(2.0 * abs(h), temperature)),
                              n_sweeps, sigma, cache, values, rng, parent, state, energy_t, phi_t)
