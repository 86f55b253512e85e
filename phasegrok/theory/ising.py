"""Square-lattice Ising model: Onsager's and Kaufman's solutions and exact densities of states.

E = -J sum_<ij> s_i s_j on the periodic square lattice, J > 0, N = L^2 spins, K = J/T, k_B = 1.
M = sum_i s_i.  L >= 3, because L = 2 would double every bond.
"""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import integrate, special

from phasegrok.compiled import kernel

_LARGEST_TRANSFER_L = 8  # 2^64 states: the counts of one energy still fit 64 bits
_HOT = 1e-4  # J/T below which the torus is expanded in tanh K
_LARGEST_ENUMERATION = 34  # spins; 2^33 states are a few minutes of one core


class Thermodynamics(NamedTuple):
    """ln Z, mean energy and heat capacity of the whole system, each of the temperature's shape."""

    ln_Z: np.ndarray
    energy: np.ndarray
    heat_capacity: np.ndarray


def critical_temperature(J: float = 1.0) -> float:
    """Critical temperature T_c = 2 J / ln(1 + sqrt 2) (Onsager, Phys. Rev. 65 (1944) 117)."""
    return 2.0 * J / math.log1p(math.sqrt(2.0))


def _checked_coupling(temperature, J: float) -> np.ndarray:
    """K = J/T, refused unless positive and finite."""
    T = np.asarray(temperature, dtype=float)
    if not (J > 0.0 and np.all(T > 0.0) and np.all(np.isfinite(T))):
        raise ValueError("temperature and J must be positive and finite")
    return J / T


def _elliptic_arguments(K: np.ndarray):
    """tanh 2K, kappa = 2 sinh 2K / cosh^2 2K squared, and kappa' = 2 tanh^2 2K - 1."""
    t = np.tanh(2.0 * K)
    kappa_prime = 2.0 * t * t - 1.0
    return t, 1.0 - kappa_prime**2, kappa_prime


def onsager_free_energy(temperature, J: float = 1.0) -> np.ndarray:
    """Free energy per site of the infinite lattice.

    -f/T = ln(2 cosh 2K) + (1/pi) int_0^{pi/2} ln[(1 + sqrt(1 - kappa^2 sin^2 phi))/2] dphi with
    kappa = 2 sinh 2K / cosh^2 2K (Onsager, Phys. Rev. 65 (1944) 117, eqs. 109 and following).

    Parameters
    ----------
    temperature : float or array
        T > 0 in units of J's energy.
    J : float
        Coupling, > 0.

    Raises
    ------
    ValueError
        If a temperature or J is not positive and finite.
    """
    K = _checked_coupling(temperature, J)
    _, _, kappa_prime = _elliptic_arguments(K)

    def integral(k_prime: float) -> float:
        # x = pi/2 - phi; at T_c the root is |sin x|, and near it the kink has the width kappa'
        def integrand(x):
            root = math.hypot(math.sin(x), k_prime * math.cos(x))
            return math.log1p(0.5 * (root - 1.0))

        kink = min(abs(k_prime), 1.0)
        points = [p for p in (kink, 10.0 * kink) if 0.0 < p < 0.5 * math.pi]
        return integrate.quad(
            integrand, 0.0, 0.5 * math.pi, points=points or None, epsabs=1e-14, epsrel=1e-13
        )[0]

    ln_lambda = 2.0 * K + np.log1p(np.exp(-4.0 * K)) + np.vectorize(integral)(kappa_prime) / math.pi
    return -ln_lambda * J / K


def onsager_energy(temperature, J: float = 1.0) -> np.ndarray:
    """Energy per site of the infinite lattice.

    e = -J coth 2K [1 + (2/pi)(2 tanh^2 2K - 1) K_1(kappa)], K_1 the complete elliptic integral of
    the first kind (Onsager 1944, eq. 112).  Raises ValueError if T or J is not positive.
    """
    K = _checked_coupling(temperature, J)
    t, _, k_prime = _elliptic_arguments(K)
    # K_1 diverges logarithmically at T_c but is multiplied by kappa', whose limit is 0
    safe = np.where(k_prime == 0.0, 1.0, k_prime)
    product = np.where(k_prime == 0.0, 0.0, k_prime * special.ellipkm1(safe**2))
    return -J / t * (1.0 + 2.0 / math.pi * product)


def onsager_heat_capacity(temperature, J: float = 1.0) -> np.ndarray:
    """Heat capacity per site of the infinite lattice; infinite at T_c.

    c = (2/pi) (K coth 2K)^2 {2 K_1 - 2 E_1 - (1 - kappa')[pi/2 + kappa' K_1]}, kappa' = 2 tanh^2 2K
    - 1 (Onsager 1944, eq. 114).  Its absolute error is about 1e-15 K^2, so that far below T_c,
    where c falls as exp(-8K), its relative error grows.  Raises ValueError if T or J is not
    positive.
    """
    K = _checked_coupling(temperature, J)
    t, kappa_squared, k_prime = _elliptic_arguments(K)
    first = special.ellipkm1(k_prime**2)
    second = special.ellipe(kappa_squared)
    with np.errstate(invalid="ignore"):
        braces = 2.0 * (first - second) - (1.0 - k_prime) * (0.5 * math.pi + k_prime * first)
    braces = np.where(k_prime == 0.0, np.inf, braces)
    return 2.0 / math.pi * (K / t) ** 2 * braces


def spontaneous_magnetisation(temperature, J: float = 1.0) -> np.ndarray:
    """Spontaneous magnetisation per site, (1 - sinh^-4 2K)^(1/8) below T_c and 0 above.

    Yang, Phys. Rev. 85 (1952) 808, eq. 96.  Raises ValueError if T or J is not positive.
    """
    K = _checked_coupling(temperature, J)
    inverse_sinh = _inverse_sinh_2K(K)
    return np.clip(1.0 - inverse_sinh**4, 0.0, None) ** 0.125


def _inverse_sinh_2K(K):
    """1 / sinh 2K without overflow, float or array."""
    return 2.0 * np.exp(-2.0 * K) / -np.expm1(-4.0 * K)


def _modes(K: float, theta: np.ndarray):
    """Kaufman's gamma(theta) >= 0 and its first two derivatives by K, arrays of theta's shape.

    cosh gamma = sinh 2K + 1/sinh 2K - cos theta, written with half angles and divided by sinh 2K so
    that neither gamma near 0 nor a large K loses digits.
    """
    q = float(_inverse_sinh_2K(K))
    log_s = 2.0 * K - math.log(2.0) + math.log(-math.expm1(-4.0 * K))
    half_sine_squared = np.sin(0.5 * theta) ** 2
    with np.errstate(divide="ignore"):
        log_root = 0.5 * (log_s + np.log(0.5 * (1.0 - q) ** 2 + q * half_sine_squared))
    small = np.arcsinh(np.exp(np.minimum(log_root, 0.0)))
    large = log_root + np.log1p(np.sqrt(1.0 + np.exp(-2.0 * np.maximum(log_root, 0.0))))
    gamma = 2.0 * np.where(log_root < 0.0, small, large)
    cosh_over_s = 1.0 + q * q - q * np.cos(theta)
    lower = (1.0 - q) ** 2 + 2.0 * q * half_sine_squared
    sinh_over_s = np.sqrt(lower * (lower + 2.0 * q))
    coth = math.sqrt(1.0 + q * q)  # coth 2K
    with np.errstate(divide="ignore", invalid="ignore"):
        first = 2.0 * coth * (1.0 - q * q) / sinh_over_s
        second = (
            4.0 * (1.0 - q * q) + 8.0 * (coth * q) ** 2 - cosh_over_s * first**2
        ) / sinh_over_s
    return gamma, first, second


def _product(L: int, modes, hyperbolic_sine: bool):
    """ln, d ln/dK and d^2 ln/dK^2 of prod_r 2 cosh(L gamma_r/2), or of the product of 2 sinh."""
    gamma, first, second = modes
    half = 0.5 * L
    decay = np.exp(-L * gamma)
    if hyperbolic_sine:
        log_term = half * gamma + np.log(-np.expm1(-L * gamma))
        slope = (1.0 + decay) / -np.expm1(-L * gamma)  # coth
        curvature = -4.0 * decay / np.expm1(-L * gamma) ** 2  # -1/sinh^2
    else:
        log_term = half * gamma + np.log1p(decay)
        slope = -np.expm1(-L * gamma) / (1.0 + decay)  # tanh
        curvature = 4.0 * decay / (1.0 + decay) ** 2  # 1/cosh^2
    d1 = np.sum(half * slope * first)
    d2 = np.sum(half * slope * second + half**2 * curvature * first**2)
    return np.sum(log_term), d1, d2


def _kaufman_at(L: int, K: float) -> tuple[float, float, float]:
    """ln Z and its first two derivatives by K of the L x L torus."""
    odd = _modes(K, np.pi * (2 * np.arange(L) + 1) / L)
    even = _modes(K, 2.0 * np.pi * np.arange(1, L) / L)
    q = float(_inverse_sinh_2K(K))
    coth = math.sqrt(1.0 + q * q)
    # The mode theta = 0 changes sign at T_c: gamma_0 = 2K + ln tanh K.
    g0, g1, g2 = 2.0 * K + math.log(math.tanh(K)), 2.0 + 2.0 * q, -4.0 * coth * q
    half = 0.5 * L
    x, decay = half * abs(g0), math.exp(-L * abs(g0))
    sinh0, cosh0 = math.copysign(-math.expm1(-2.0 * x), g0), 1.0 + decay  # times exp(x)
    logs, terms = [], []
    for modes, is_even in ((odd, False), (even, True)):
        for hyperbolic_sine in (False, True):
            log_P, p1, p2 = _product(L, modes, hyperbolic_sine)
            z, dz, ddz = 1.0, 0.0, 0.0
            if is_even:
                z, other = (sinh0, cosh0) if hyperbolic_sine else (cosh0, sinh0)
                dz = half * g1 * other
                ddz = half * g2 * other + (half * g1) ** 2 * z
                log_P += x
            logs.append(log_P)
            terms.append((z, dz, ddz, p1, p2))
    scale = max(logs)
    weights = np.exp(np.array(logs) - scale)
    z, dz, ddz, p1, p2 = np.array(terms).T
    total = weights @ z
    d1 = weights @ (dz + z * p1) / total
    # second derivative of exp(-K d1) Z, in which the large p1 and d1 cancel before they are squared
    d2 = weights @ (ddz + 2.0 * dz * (p1 - d1) + z * (p2 + (p1 - d1) ** 2)) / total
    log_2s = 2.0 * K + math.log(-math.expm1(-4.0 * K))
    N = L * L
    ln_Z = -math.log(2.0) + 0.5 * N * log_2s + scale + math.log(total)
    return ln_Z, d1 + N * coth, d2 - 2.0 * N * q * q


def kaufman(L: int, temperature, J: float = 1.0) -> Thermodynamics:
    """Exact ln Z, energy and heat capacity of the periodic L x L lattice at any temperature.

    Z = (1/2) (2 sinh 2K)^(N/2) [prod 2cosh(L gamma_{2r+1}/2) + prod 2sinh(L gamma_{2r+1}/2)
    + prod 2cosh(L gamma_{2r}/2) + prod 2sinh(L gamma_{2r}/2)], r = 0..L-1, with cosh gamma_l =
    sinh 2K + 1/sinh 2K - cos(pi l/L) and gamma_0 = 2K + ln tanh K, negative above T_c (Kaufman,
    Phys. Rev. 76 (1949) 1232, eq. 86; Ferdinand and Fisher, Phys. Rev. 185 (1969) 832).  All
    products are logarithms and both derivatives are analytic.  L may be even or odd.
    Rounding: about 1e-15 relative in ln Z; absolute 1e-15 N T in E (which is small at T >> J) and
    1e-15 N K^2 in C (which is small at T << J).  Where K < 1e-4 the first terms of the expansion in
    tanh K, loops around the torus and around one square, are exact to 1e-8 and round less.

    Parameters
    ----------
    L : int
        Linear size, >= 3.
    temperature : float or array
        T > 0.
    J : float
        Coupling, > 0.

    Returns
    -------
    Thermodynamics
        ln Z, <E> and C = d<E>/dT of the whole lattice, each of the temperature's shape.

    Raises
    ------
    ValueError
        If L < 3, or a temperature or J is not positive and finite.
    """
    _check_size(L)
    K = np.atleast_1d(_checked_coupling(temperature, J))
    rows = np.array([(_hot_torus if k < _HOT else _kaufman_at)(L, float(k)) for k in K.ravel()])
    shape = np.shape(temperature)
    ln_Z, d1, d2 = (rows[:, i].reshape(shape) for i in range(3))
    return Thermodynamics(ln_Z, -J * d1, K.reshape(shape) ** 2 * d2)


def _hot_torus(L: int, K: float) -> tuple[float, float, float]:
    """The same for small K: Z = 2^N cosh(K)^2N [1 + 2 L t^L + N t^4 + ...] with t = tanh K."""
    N, t = L * L, math.tanh(K)
    loops = 2 * L * t**L + N * t**4
    d1 = 2 * N * t + (1.0 - t * t) * (2 * N * t ** (L - 1) + 4 * N * t**3)
    d2 = 2 * N * (1.0 - t * t) + 2 * N * (L - 1) * t ** (L - 2) + 12 * N * t * t
    return N * (math.log(2.0) + 2.0 * math.log(math.cosh(K))) + loops, d1, d2


def _check_size(L: int) -> None:
    if L < 3:
        raise ValueError(f"L = {L}: the periodic lattice needs L >= 3, smaller ones double bonds")


# --- exact densities of states -------------------------------------------------------------------


def _rows_up_to_symmetry(L: int) -> list[tuple[int, int]]:
    """One row of L spins (bit pattern) per class under translation and reflection, and its size."""

    def smallest(row: int) -> int:
        bits = [(row >> x) & 1 for x in range(L)]
        images = []
        for pattern in (bits, bits[::-1]):
            for shift in range(L):
                images.append(sum(b << ((x + shift) % L) for x, b in enumerate(pattern)))
        return min(images)

    return sorted(Counter(smallest(row) for row in range(1 << L)).items())


@kernel
def _close_torus(counts, total, first_row, multiplicity, n_e, n_m):
    """Add to ``total`` the states whose last row is joined to ``first_row`` by L more bonds."""
    for row in range(counts.shape[0]):
        shift = 0
        difference = row ^ first_row
        while difference:
            shift += difference & 1
            difference >>= 1
        for e in range(n_e + 1):
            for m in range(n_m):
                total[e + shift, m] += multiplicity * counts[row, e, m]


@kernel
def _replace_spin(counts, old, row, x, close, n_e, n_m, follow):
    """Replace spin x of the two rows that differ there by the next row's, adding its bonds.

    ``row`` has the spin down (bit 0).  ``close`` adds the bond that closes the new row; ``n_e`` is
    the largest number of unsatisfied bonds so far and ``n_m`` the number of up-spin counts.
    """
    for a in range(2):
        source = row | (a << x)
        for e in range(n_e + 1):
            for m in range(n_m):
                old[a, e, m] = counts[source, e, m]
                counts[source, e, m] = 0
    for b in range(2):
        target = row | (b << x)
        side = 0
        if x > 0:
            side += b ^ ((row >> (x - 1)) & 1)
        if close:
            side += b ^ (row & 1)
        for a in range(2):
            shift = side + (a ^ b)
            for e in range(n_e + 1):
                for m in range(n_m):
                    counts[target, e + shift, m + b * follow] += old[a, e, m]


@kernel
def _transfer(L, first_row, multiplicity, counts, old, total):
    """Count the states of an L x L torus with a given first row, one added spin at a time.

    ``counts[row, unsatisfied bonds, up spins]`` and ``old`` are overwritten; ``total[unsatisfied
    bonds, up spins]`` is added to.  A last axis of length one leaves up spins uncounted.
    """
    counts[:] = 0
    follow = 1 if total.shape[1] > 1 else 0
    broken, up = 0, 0
    for x in range(L):
        here = (first_row >> x) & 1
        broken += here ^ ((first_row >> ((x + 1) % L)) & 1)
        up += here * follow
    counts[first_row, broken, up] = 1
    n_e, n_m = L, 1 + L * follow
    for _ in range(L - 1):
        for x in range(L):
            for row in range(counts.shape[0]):
                if (row >> x) & 1 == 0:
                    _replace_spin(counts, old, row, x, x == L - 1, n_e, n_m, follow)
            n_e += 1 + (x > 0) + (x == L - 1)
            n_m += follow
    _close_torus(counts, total, first_row, multiplicity, n_e, n_m)


def _transfer_counts(L: int, n_up: int) -> np.ndarray:
    """Number of states by (unsatisfied bonds, up spins); the last axis has length ``n_up``."""
    _check_size(L)
    if L > _LARGEST_TRANSFER_L:
        raise ValueError(f"L = {L}: exact counts by transfer matrix need L <= 8 (64-bit counts)")
    total = np.zeros((2 * L * L + 1, n_up), dtype=np.uint64)
    counts = np.zeros((1 << L, 2 * L * L + 1, n_up), dtype=np.uint64)
    old = np.zeros((2, *total.shape), dtype=np.uint64)
    for row, multiplicity in _rows_up_to_symmetry(L):
        _transfer(L, row, np.uint64(multiplicity), counts, old, total)
    return total


def density_of_states(L: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact number of states g(E) of the periodic L x L lattice at J = 1, by transfer matrix.

    Parameters
    ----------
    L : int
        3 <= L <= 8.

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    g_E : (n_E,) uint64
        Number of states.  At L = 8 the sum is 2^64, which no 64-bit integer holds: add Python
        integers or floats.

    Raises
    ------
    ValueError
        If L is outside 3..8.
    """
    g_E = _transfer_counts(L, 1)[:, 0]
    energy = -2 * L * L + 2 * np.arange(g_E.size)
    return energy[g_E > 0], g_E[g_E > 0]


def joint_density_of_states(L: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact number of states g(E, M) of the periodic L x L lattice at J = 1, by transfer matrix.

    Parameters
    ----------
    L : int
        3 <= L <= 8 (a few seconds at L = 8).

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    magnetisation : (N + 1,) int64
        M = -N, -N + 2, ..., N.
    g_EM : (n_E, N + 1) uint64
        Number of states, zero where none exists.

    Raises
    ------
    ValueError
        If L is outside 3..8.
    """
    N = L * L
    total = _transfer_counts(L, N + 1)
    keep = total.any(axis=1)
    energy = -2 * N + 2 * np.arange(total.shape[0])
    return energy[keep], 2 * np.arange(N + 1) - N, total[keep]


def exact_density_of_states(L: int) -> tuple[np.ndarray, list[int]]:
    """Exact integer g(E) of the even periodic L x L lattice at J = 1, from Kaufman's solution.

    With x = exp(-2K), x^N Z = sum_k g(-2N + 4k) x^(2k) is a polynomial with integer coefficients
    (Beale, Phys. Rev. Lett. 76 (1996) 78).  It is evaluated here modulo a prime above 2^N that has
    all the roots of unity needed (those in cos(pi l/L) too), and inverted by a discrete Fourier
    transform, so that no rounding occurs.  L = 32 takes a few seconds.

    Parameters
    ----------
    L : int
        Even, 4 <= L <= 64.

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    g_E : list of int, length n_E
        Number of states as Python integers; they sum to 2^N.

    Raises
    ------
    ValueError
        If L is odd or outside 4..64.
    """
    if L % 2 or not 4 <= L <= 64:
        raise ValueError(f"L = {L}: the polynomial form needs an even L from 4 to 64")
    N = L * L
    n_nodes = 1 << N.bit_length()  # more than the degree N of the polynomial in x^2
    order = 2 * n_nodes * L
    prime, root = _prime_with_root(N, order)
    x_step = pow(root, L, prime)
    unit = pow(root, n_nodes, prime)
    two_cos = [(pow(unit, k, prime) + pow(unit, -k, prime)) % prime for k in range(L)]
    values, x = [], 1
    for _ in range(n_nodes):
        values.append(_polynomial_at(L, x, two_cos, prime))
        x = x * x_step % prime
    sums = _fourier(values, pow(x_step, -2, prime), prime)
    g_E = [c * pow(n_nodes, -1, prime) % prime for c in sums[: N + 1]]
    energy = [-2 * N + 4 * k for k in range(N + 1) if g_E[k]]
    return np.array(energy), [g for g in g_E if g]


def _prime_with_root(bits: int, order: int) -> tuple[int, int]:
    """A prime above 2^bits that is 1 modulo ``order``, a power of two times L, and such a root."""
    candidate = ((1 << bits) // order + 1) * order + 1
    while not _is_prime(candidate):
        candidate += order
    factors = [f for f in range(2, 65) if order % f == 0 and all(f % g for g in range(2, f))]
    for base in range(2, 1000):
        root = pow(base, (candidate - 1) // order, candidate)
        if all(pow(root, order // f, candidate) != 1 for f in factors):
            return candidate, root
    raise ArithmeticError("no root of unity found")  # one base in a few is good


def _is_prime(n: int) -> bool:
    """Miller-Rabin test to the first thirteen prime bases."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if any(n % b == 0 for b in bases):
        return n in bases
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for b in bases:
        x = pow(b, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def _polynomial_at(L: int, x: int, two_cos: list[int], prime: int) -> int:
    """x^N Z modulo a prime at x = exp(-2K), for even L; two_cos[k] = 2 cos(pi k/L).

    With u = x (1 - x^2), 2 u cosh(gamma_l) = t_l = (1 + x^2)^2 - u two_cos[l], and every factor
    of Kaufman's products takes u^(L/2) from the prefactor.  The modes l and 2L - l are equal, so
    that the hyperbolic sines appear squared but for l = 0 and l = L, which are explicit.
    """
    half, u = L // 2, x * (1 - x * x) % prime
    u_L, plus = pow(u, L, prime), (1 + x * x) ** 2 % prime
    cosh, sinh = [1, 1], [1, 1]  # products over even and odd modes
    for k in range(1, L):
        square = _lucas(half, (plus - u * two_cos[k]) % prime, u * u % prime, prime) ** 2
        cosh[k % 2] = cosh[k % 2] * square % prime
        sinh[k % 2] = sinh[k % 2] * (square - 4 * u_L) % prime
    a, b = pow(1 - x, L, prime), pow(x * (1 + x), L, prime)  # from exp(+-L gamma_0/2)
    c, d = pow(1 + x, L, prime), pow(x * (1 - x), L, prime)  # from exp(+-L gamma_L/2)
    four = cosh[1] + sinh[1] + (a + b) * (c + d) * cosh[0] + (a - b) * (c - d) * sinh[0]
    return four * pow(2, -1, prime) % prime


def _lucas(n: int, t: int, Q: int, prime: int) -> int:
    """V_n = a^n + b^n with a + b = t and a b = Q, modulo a prime (2 cosh of n times the angle)."""
    low, high, power = 2, t, 1  # V_k, V_{k+1}, Q^k at k = 0
    for bit in bin(n)[2:]:
        odd = (low * high - t * power) % prime
        if bit == "1":
            low, high = odd, (high * high - 2 * power * Q) % prime
            power = power * power * Q % prime
        else:
            low, high = (low * low - 2 * power) % prime, odd
            power = power * power % prime
    return low


def _fourier(values: list[int], w: int, prime: int) -> list[int]:
    """sum_j values[j] w^(jk) for all k, modulo a prime; the length is a power of two."""
    n = len(values)
    if n == 1:
        return values
    even = _fourier(values[0::2], w * w % prime, prime)
    odd = _fourier(values[1::2], w * w % prime, prime)
    out, factor = [0] * n, 1
    for k in range(n // 2):
        term = factor * odd[k] % prime
        out[k], out[k + n // 2] = (even[k] + term) % prime, (even[k] - term) % prime
        factor = factor * w % prime
    return out


# --- any bonds: exact enumeration ----------------------------------------------------------------


@kernel
def _enumerate(neighbour_start, neighbour, coupling, energy, lowest, counts):
    """Add all states with the last spin up to ``counts[E - lowest, up spins]``, in Gray-code order.

    ``energy`` is that of all spins up.
    """
    n_sites = neighbour_start.shape[0] - 1
    spin = np.ones(n_sites, np.int64)
    up = n_sites
    counts[energy - lowest, up] += 1
    for step in range(1, 1 << (n_sites - 1)):
        site, word = 0, step
        while word & 1 == 0:
            word >>= 1
            site += 1
        field = 0
        for k in range(neighbour_start[site], neighbour_start[site + 1]):
            field += coupling[k] * spin[neighbour[k]]
        energy += 2 * spin[site] * field
        spin[site] = -spin[site]
        up += spin[site]
        counts[energy - lowest, up] += 1


def enumerate_bonds(n_sites: int, bonds, couplings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact number of states g(E, M) of Ising spins on any bonds, E = -sum_b J_b s_a s_b.

    Parameters
    ----------
    n_sites : int
        Number of spins, at most 34 (2^(n - 1) states are visited).
    bonds : (n_bonds, 2) int array
        The two sites of each bond.
    couplings : (n_bonds,) int array
        J_b, integers.

    Returns
    -------
    energy : (n_E,) int64
        The energies that occur, ascending.
    magnetisation : (n_sites + 1,) int64
        M = -n_sites, ..., n_sites in steps of 2.
    g_EM : (n_E, n_sites + 1) int64
        Number of states.

    Raises
    ------
    ValueError
        If there are too many sites, a bond names no site or joins one to itself, or a coupling is
        not an integer.
    """
    pairs, J = np.asarray(bonds, dtype=np.int64).reshape(-1, 2), np.asarray(couplings)
    if not 1 <= n_sites <= _LARGEST_ENUMERATION:
        raise ValueError(f"{n_sites} sites: enumeration takes 1 to {_LARGEST_ENUMERATION}")
    if J.shape != (len(pairs),) or np.any(J != np.round(J)):
        raise ValueError("couplings must be one integer a bond")
    if pairs.size and (pairs.min() < 0 or pairs.max() >= n_sites):
        raise ValueError(f"a bond names a site outside 0..{n_sites - 1}")
    if np.any(pairs[:, 0] == pairs[:, 1]):
        raise ValueError("a bond joins a site to itself")
    J = J.astype(np.int64)
    ends = np.concatenate([pairs[:, 0], pairs[:, 1]])
    others = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.argsort(ends, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=n_sites))])
    largest = int(np.abs(J).sum())
    counts = np.zeros((2 * largest + 1, n_sites + 1), dtype=np.int64)
    _enumerate(start, others[order], np.concatenate([J, J])[order], -int(J.sum()), -largest, counts)
    counts += counts[:, ::-1]  # a global flip turns the last spin down
    keep = counts.any(axis=1)
    energies = np.arange(-largest, largest + 1)
    return energies[keep], 2 * np.arange(n_sites + 1) - n_sites, counts[keep]
