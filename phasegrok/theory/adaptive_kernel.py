r"""Adaptive-kernel theory of a two-layer erf network that learns a cubic of one direction.

Student :math:`f = \sum_i a_i\,\mathrm{erf}(w_i\cdot x)`, inputs x ~ N(0, I_d), teacher
:math:`y = He_1(z) + \epsilon\,He_3(z)` with :math:`z = w_*\cdot x`, :math:`|w_*| = 1`; priors
:math:`a \sim N(0, \sigma_a^2/N)`, :math:`w \sim N(0, \sigma_w^2/d)` and a Gaussian likelihood of
variance :math:`\sigma^2` a pattern, n patterns, :math:`\kappa = \sigma^2/n` (Rubin, Seroussi and
Ringel, arXiv 2310.03789).  In the limit of the equivalent kernel the posterior of the network is
:math:`\exp(-L/2\kappa)` times the prior, L the mean squared error over all inputs.

A neuron is described by :math:`\Phi = w\cdot w_*` and :math:`s = |w_\perp|^2`; with
:math:`A = 1 + 2(s + \Phi^2)` its projections on the orthonormal He_1 and He_3/sqrt 6 are

.. math:: h = \Big(\tfrac{2}{\sqrt\pi}\tfrac{\Phi}{\sqrt A},\;
          -\tfrac{4}{\sqrt{6\pi}}\tfrac{\Phi^3}{A^{3/2}}\Big).

The field :math:`\beta` that the network leaves on those two, :math:`(b, \sqrt 6 c) = \kappa\beta =
y - \bar f`, minimises the strictly convex

.. math:: G(\beta) = \tfrac{\kappa}{2}|\beta|^2 - \beta\cdot y
          + N \ln E_w \exp\Big[\tfrac{\sigma_a^2}{2N}(h\cdot\beta)^2\Big] ,

and :math:`\exp(-\tilde S) = \exp[\sigma_a^2 (h\cdot\beta)^2/2N]` times the prior is the density of
one neuron.  The minimum is unique: the network as a whole changes continuously, and "first-order"
is a statement on the neurons, whose density of Phi has several wells and a barrier between them
that grows as d.

Three theories are offered, each a step better (``THEORIES``): ``frozen`` holds s at its prior mean
:math:`\sigma_w^2`, as published; ``joint`` keeps the density of (Phi, s); ``cavity`` adds that a
neuron changes the field which the others leave it, a correction of relative order 1/N.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, special

THEORIES = ("frozen", "joint", "cavity")
_ROOT_6 = math.sqrt(6.0)
_MODES = {"frozen": 2, "joint": 2, "cavity": 4}  # odd Hermite polynomials of z that are kept
_LINEAR, _CUBIC, _FIFTH, _SEVENTH = (
    2.0 / math.sqrt(math.pi) * (-1.0) ** m * math.factorial(2 * m)
    / (math.factorial(m) * math.sqrt(math.factorial(2 * m + 1))) for m in range(4))
_NATS = 45.0  # the density is integrated to this far below its maximum
_POINTS = 12  # of the grid of Phi, in a standard deviation of the prior
_STEP_S = 5.0 / 11.0  # of the grid of ln s, in standard deviations of the prior
_LEAST_LOG_S = -3.5  # ln(s/sigma_w^2) that a specialised neuron does not fall below, at any d
_TOLERANCE = 1e-11  # of the field, relative to that of the teacher
_ROUNDS = 400


# --- at a given field -----------------------------------------------------------------------------


def projections(Phi, s, modes: int = 2) -> np.ndarray:
    r"""Projections of erf(w . x) on orthonormal Hermite polynomials of z, shape (modes, ...).

    On He_k/sqrt(k!), k = 2m + 1: :math:`(2/\sqrt\pi)(-1)^m (2m)!/(m!\sqrt{k!})\,x^k`, with
    :math:`x = \Phi/\sqrt A`, from the k-th derivative of erf averaged over w . x.

    Parameters
    ----------
    Phi, s : array_like
        Overlap w . w_* and squared norm of the rest of w.
    modes : int
        How many: He_1, He_3, He_5, He_7.
    """
    Phi, s = np.asarray(Phi, float), np.asarray(s, float)
    x = Phi / np.sqrt(1.0 + 2.0 * (s + Phi**2))
    factors = (_LINEAR, _CUBIC, _FIFTH, _SEVENTH)[:modes]
    return np.array([factor * x ** (2 * m + 1) for m, factor in enumerate(factors)])


def frozen_action(Phi, u: float, b: float, c: float, sigma_w2: float) -> np.ndarray:
    r"""Action of one neuron over d with s held at :math:`\sigma_w^2`, as published.

    :math:`\tilde S/d = \Phi^2/2\sigma_w^2 - (2u/\pi) q (b - 2 c q)^2` with :math:`q = \Phi^2/A`,
    :math:`u = \sigma_a^2/(\kappa^2 d N)` (arXiv 2310.03789, eq. 9).
    """
    Phi = np.asarray(Phi, float)
    q = Phi**2 / (1.0 + 2.0 * (sigma_w2 + Phi**2))
    return Phi**2 / (2.0 * sigma_w2) - (2.0 * u / math.pi) * q * (b - 2.0 * c * q) ** 2


class Frozen(NamedTuple):
    """Special values of u for the frozen action at a fixed field; nan where there is none."""

    centre_spinodal: float
    coexistence: float
    side_birth: float
    Phi_coexistence: float
    Phi_birth: float


def frozen_transitions(b: float, c: float, sigma_w2: float) -> Frozen:
    r"""Closed forms for the frozen action at a fixed field (b, c), in u.

    With :math:`A_0 = 1 + 2\sigma_w^2` and q = Phi^2/A: the centre ceases to be a minimum at
    :math:`\pi A_0/(4\sigma_w^2 b^2)`; a side well of equal height exists at
    :math:`(27\pi/16)(A_0/\sigma_w^2)\,(-c)/(b - c)^3`, at q = (b + 2c)/6c; a side well appears
    where :math:`(1 - 2q)^2 (b - 2cq)(b - 6cq)` is largest.  For b > 0 these exist if b + 2c < 0 (a
    residual of opposite sign, tricritical point c = -b/2) or if c > b (the cubic part drives).

    Raises
    ------
    ValueError
        If b or sigma_w2 is not positive.
    """
    if not (b > 0.0 and sigma_w2 > 0.0):
        raise ValueError("b > 0 and sigma_w2 > 0 are required")
    A0 = 1.0 + 2.0 * sigma_w2
    unit = math.pi * A0 / (4.0 * sigma_w2)
    centre = unit / b**2
    if not (b + 2.0 * c < 0.0 or c > b):
        return Frozen(centre, math.nan, math.nan, math.nan, math.nan)
    q = (b + 2.0 * c) / (6.0 * c)
    coexistence = 27.0 * unit * c / (4.0 * (c - b) ** 3)
    # roots of 24 c^2 q^2 - (12 b c + 6 c^2) q + b^2 + 2 b c: the well is where b - 2cq and b - 6cq
    # have one sign and q is below 1/2
    root = math.sqrt(12.0 * (4.0 * b * b - 4.0 * b * c + 3.0 * c * c))
    births = [p for p in ((12.0 * b + 6.0 * c + root) / (48.0 * c),
                          (12.0 * b + 6.0 * c - root) / (48.0 * c))
              if 0.0 < p < 0.5 and (b - 2.0 * c * p) * (b - 6.0 * c * p) > 0.0]
    q_birth = max(births)
    birth = unit / ((1.0 - 2.0 * q_birth) ** 2 * (b - 2.0 * c * q_birth) * (b - 6.0 * c * q_birth))
    return Frozen(centre, coexistence, birth, *(math.sqrt(A0 * p / (1.0 - 2.0 * p))
                                                for p in (q, q_birth)))


# --- self-consistent ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes and variances of the network; ``n = inf`` is the limit of the equivalent kernel.

    Attributes
    ----------
    d, N : int
        Input dimension and number of neurons.
    kappa : float
        Variance of the likelihood over the number of patterns.
    epsilon : float
        Amplitude of He_3 in the teacher.
    sigma_a2, sigma_w2 : float
        N times the prior variance of an output weight, d times that of an input weight.
    n : float
        Number of patterns: enters beside kappa through what the data leave undetermined.
    """

    d: int
    N: int
    kappa: float
    epsilon: float
    sigma_a2: float
    sigma_w2: float = 0.5
    n: float = math.inf

    def __post_init__(self):
        if not (self.d >= 4 and self.N >= 2 and min(self.kappa, self.sigma_a2, self.sigma_w2) > 0.0
                and self.n > 0.0):
            raise ValueError("d >= 4, N >= 2, and kappa, sigma_a2, sigma_w2, n > 0 are required")

    @property
    def target(self) -> np.ndarray:
        """The teacher's projections y = (1, sqrt 6 epsilon, 0, 0)."""
        return np.array([1.0, _ROOT_6 * self.epsilon, 0.0, 0.0])

    @property
    def u(self) -> float:
        """Strength of the drive, sigma_a2/(kappa^2 d N)."""
        return self.sigma_a2 / (self.kappa**2 * self.d * self.N)


@dataclasses.dataclass(frozen=True)
class Solution:
    """Field, density of a neuron and what follows from them.

    Attributes
    ----------
    residual : ndarray, shape (2,) or (4,)
        (b, sqrt 6 c, ...) = y - f, what the network has not learned of He_1, He_3/sqrt 6, ...
    Phi : ndarray, shape (K,)
        Grid, symmetric about zero.
    potential : ndarray, shape (K,)
        -ln P(Phi) in nats a neuron, P normalised on the real axis.
    s_mean : ndarray, shape (K,)
        <|w_perp|^2> of the neurons at Phi.
    wells : ndarray
        Minima of the potential at Phi >= 0, ascending; 0 first where the centre is one.
    barrier : float
        From the centre to the top before the outer well; nan with one well.
    depth : float
        Potential of the outer well over that of the centre; nan with one well.
    droplet : float
        Fraction p of neurons beyond the top; nan with one well.
    phase : str
        GFL (N p < 1), GMFL-I, or GMFL-II (N (1 - p) < 1, or the centre is no minimum): a label of
        this size.
    kappa : float
        As corrected for n.
    """

    residual: np.ndarray
    Phi: np.ndarray
    potential: np.ndarray
    s_mean: np.ndarray
    wells: np.ndarray
    barrier: float
    depth: float
    droplet: float
    phase: str
    kappa: float

    @property
    def b(self) -> float:
        """Residual of He_1."""
        return float(self.residual[0])

    @property
    def c(self) -> float:
        """Residual of He_3 (not of the normalised one)."""
        return float(self.residual[1] / _ROOT_6)


def _grids(model: Model, theory: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phi (K,), s (K or 1, S) and the log of prior density times area, of the same shape."""
    tilt = 0.5 * model.sigma_a2 / model.N * float(model.target @ model.target) / model.kappa**2
    q = np.linspace(0.0, 0.5, 513)
    top = np.max(_LINEAR**2 * q + _CUBIC**2 * q**3)
    width = math.sqrt(model.sigma_w2 / model.d)
    largest = width * math.sqrt(2.0 * (_NATS + tilt * top))
    half = math.ceil(_POINTS * largest / width)
    Phi = np.linspace(0.0, largest, half + 1)
    log_prior = -0.5 * (Phi / width) ** 2 - math.log(width) - 0.5 * math.log(2.0 * math.pi)
    log_prior = log_prior + math.log(Phi[1] - Phi[0])
    log_prior[1:] += math.log(2.0)  # both signs of Phi
    if theory == "frozen":
        return Phi, np.full((1, 1), model.sigma_w2), log_prior[:, None]
    k = 0.5 * (model.d - 1)
    # ln s has density t^k e^-t / Gamma(k), t = d s / 2 sigma_w^2
    spread = math.sqrt(1.0 / k)
    low, high = min(-16.0 * spread, _LEAST_LOG_S), 9.0 * spread
    points = 1 + math.ceil((high - low) / (_STEP_S * spread) - 1e-9)
    log_t = math.log(k) + np.linspace(low, high, points)
    log_s_prior = k * log_t - np.exp(log_t) - special.gammaln(k) + math.log(log_t[1] - log_t[0])
    s = np.exp(log_t) * 2.0 * model.sigma_w2 / model.d
    return Phi, s[None, :], log_prior[:, None] + log_s_prior[None, :]


class _Rest(NamedTuple):
    """What a neuron's own response sees beside h: linear in x_perp, and all else."""

    linear: np.ndarray  # squared norm of the part linear in x_perp
    other: np.ndarray  # squared norm of what is neither that nor h


def _rest(Phi, s, h) -> _Rest:
    norm = s + Phi**2
    A = 1.0 + 2.0 * norm
    linear = _LINEAR**2 * s / A
    total = (2.0 / math.pi) * np.arcsin(2.0 * norm / A)
    return _Rest(linear, np.maximum(total - linear - np.sum(h**2, axis=0), 0.0))


def _field(model: Model, kappa, log_prior, h, response, n_others, beta) -> tuple:
    """Minimise G(beta) by damped Newton; returns it, ln of the grid's weights and the Hessian."""
    gain = model.sigma_a2 / model.N
    n = len(h)
    y = model.target[:n]

    def value(beta):
        m = np.tensordot(beta, h, 1)
        log_w = log_prior - 0.5 * np.log(response) + 0.5 * gain * m * m / response
        top = log_w.max()
        w = np.exp(log_w - top)
        total = w.sum()
        return (0.5 * kappa * beta @ beta - beta @ y
                + n_others * (math.log(total) + top)), log_w - top - math.log(total), m

    G, log_p, m = value(beta)
    for _ in range(_ROUNDS):
        w = np.exp(log_p)
        g = gain * m / response
        first = np.tensordot(h, w * g, 2)
        second = np.tensordot(h, (w * (gain / response + g * g)) * h, ((1, 2), (1, 2)))
        gradient = kappa * beta - y + n_others * first
        hessian = kappa * np.eye(n) + n_others * (second - np.outer(first, first))
        step = linalg.solve(hessian, -gradient, assume_a="pos")
        length, slope = 1.0, float(gradient @ step)
        while True:
            new = value(beta + length * step)
            if new[0] <= G + 1e-4 * length * slope + 1e-13 * abs(G) or length < 1e-12:
                break
            length *= 0.5
        beta = beta + length * step
        G, log_p, m = new
        if np.max(np.abs(length * step)) * kappa <= _TOLERANCE * np.max(np.abs(y)):
            return beta, log_p, hessian
    raise ArithmeticError("the field did not converge; take a larger kappa")


def solve(model: Model, theory: str = "cavity", modes: int = 0,
          wall: float = math.inf) -> Solution:
    r"""Self-consistent field and the density of a neuron.

    ``cavity``: with the N - 1 others held at their saddle, Gaussian fluctuations of the field give
    :math:`L = 1 + (\sigma_a^2/N)\,\varphi^T H^{-1}\varphi`, where :math:`\varphi` is the function
    of the neuron and H the second derivative of G, and the weight of a neuron is
    :math:`L^{-1/2}\exp[(\sigma_a^2/2N)(h\cdot\beta)^2/L]`.  L is in the kernel of the functions
    linear in x_perp, too: :math:`\lambda_\perp = \sigma_a^2\langle|\varphi_\perp|^2/L\rangle/
    (d - 1)`, which for d of order N makes their law that of Marchenko and Pastur.  With finite n
    the data leave modes of the kernel undetermined, which act as noise:
    :math:`n\kappa' = n\kappa + \kappa'\sum_k \lambda_k/(\lambda_k + \kappa')`.

    Parameters
    ----------
    model : Model
        Sizes and variances.
    theory : {"frozen", "joint", "cavity"}
        Which action.
    modes : int
        Odd Hermite polynomials that are kept, 2 to 4; 0: those of the theory, 2, 2 and 4.
    wall : float
        The network is kept to |Phi| < wall for every neuron, as before any has specialised; the
        potential of one neuron beside these is given everywhere.

    Raises
    ------
    ValueError
        For an unknown theory.
    ArithmeticError
        If the iteration does not converge.
    """
    if theory not in THEORIES:
        raise ValueError(f'"{theory}" is none of {", ".join(THEORIES)}')
    if modes not in (0, 2, 3, 4):
        raise ValueError(f"modes = {modes}: 2, 3 or 4, or 0 for those of the theory")
    Phi, s, log_prior = _grids(model, theory)
    h = projections(Phi[:, None], s, modes or _MODES[theory])
    rest = _rest(Phi[:, None], s, h)
    cavity = theory == "cavity"
    n_others = model.N - 1 if cavity else model.N
    response = np.ones_like(h[0])
    kappa, beta = model.kappa, model.target[:len(h)] / model.kappa / (1.0 + model.u)
    inward = np.where(Phi[:, None] < wall, log_prior, -np.inf)
    for _ in range(_ROUNDS):
        beta, log_p, hessian = _field(model, kappa, inward, h, response, n_others, beta)
        w = np.exp(log_p)
        old = kappa, response
        m = np.tensordot(beta, h, 1)
        gain = model.sigma_a2 / model.N
        linear = np.sum(w * rest.linear / response) * model.sigma_a2 / (model.d - 1)
        if math.isfinite(model.n):
            kappa = _effective_kappa(model, linear, float(np.sum(w * rest.other)))
        if cavity:
            moved = gain**2 * model.N * np.sum(w * rest.linear * (m / response) ** 2) / (
                model.d - 1)
            seen = np.sum(h * np.tensordot(linalg.inv(hessian), h, 1), axis=0)
            response = 1.0 + gain * (seen + rest.linear / (kappa + linear + moved)
                                     + rest.other / kappa)
        change = max(abs(kappa / old[0] - 1.0), float(np.max(np.abs(response / old[1] - 1.0))))
        if change < 1e-9:
            break
        kappa, response = 0.5 * (kappa + old[0]), 0.5 * (response + old[1])
    else:
        raise ArithmeticError("the response did not converge; take a larger kappa")
    if math.isfinite(wall):
        m = np.tensordot(beta, h, 1)
        log_p = log_prior - 0.5 * np.log(response) + 0.5 * gain * m * m / response
        log_p -= special.logsumexp(log_p[Phi < wall])
    return _solution(model, kappa, beta, Phi, s, log_p)


def _effective_kappa(model: Model, linear: float, other: float) -> float:
    """kappa' with n kappa' = n kappa + sum_k lambda_k kappa'/(lambda_k + kappa'), by bisection."""
    tail = model.sigma_a2 * other

    def excess(x):
        return model.n * (x - model.kappa) - (model.d - 1) * linear * x / (linear + x) - tail

    high = model.kappa + ((model.d - 1) * linear + tail) / model.n
    return float(optimize.brentq(excess, model.kappa * 0.999, high * 1.001, xtol=1e-16))


def _solution(model: Model, kappa, beta, Phi, s, log_p) -> Solution:
    log_p_Phi = special.logsumexp(log_p, axis=1)
    p = np.exp(log_p_Phi)
    s_mean = (np.exp(log_p - log_p_Phi[:, None]) * s).sum(axis=1)
    potential = math.log(Phi[1] - Phi[0]) - log_p_Phi
    potential[1:] += math.log(2.0)  # both signs of Phi
    wells, barrier, depth, top = wells_of(Phi, potential)
    droplet = float(np.sum(p[Phi > top])) if math.isfinite(top) else math.nan
    if wells[0] > 0.0 or (math.isfinite(top) and model.N * (1.0 - droplet) < 1.0):
        phase = "GMFL-II"
    else:
        phase = "GMFL-I" if math.isfinite(top) and model.N * droplet >= 1.0 else "GFL"
    both = np.concatenate([-Phi[:0:-1], Phi])
    V, s_both = (np.concatenate([x[:0:-1], x]) for x in (potential, s_mean))
    return Solution(kappa * beta, both, V, s_both, wells, barrier, depth, droplet, phase, kappa)


def wells_of(Phi, potential) -> tuple[np.ndarray, float, float, float]:
    """Minima at Phi >= 0, barrier and depth of the outer well from the centre, and the top."""
    inner = np.flatnonzero((potential[1:-1] < potential[:-2])
                           & (potential[1:-1] < potential[2:])) + 1
    minima = [float(_vertex(Phi, potential, int(k))) for k in inner]
    if potential[0] >= potential[1]:
        return np.array(minima), math.nan, math.nan, math.nan
    if not minima:
        return np.zeros(1), math.nan, math.nan, math.nan
    last = int(inner[-1])
    top = int(np.argmax(potential[:last + 1]))
    return (np.array([0.0, *minima]), float(potential[top] - potential[0]),
            float(potential[last] - potential[0]), float(Phi[top]))


def _vertex(x, y, k: int) -> float:
    """Abscissa of the parabola through three points of a uniform grid."""
    curvature = y[k - 1] - 2.0 * y[k] + y[k + 1]
    return x[k] + 0.5 * (x[1] - x[0]) * (y[k - 1] - y[k + 1]) / curvature


# --- lines ----------------------------------------------------------------------------------------


class Lines(NamedTuple):
    """Values of kappa at which the density of a neuron changes, falling; nan where it does not."""

    outer_well: float  # below: a second minimum
    first_droplet: float  # below: N p >= 1, GMFL-I
    equal_depth: float  # below: the outer minimum is the deeper one
    last_centre: float  # below: GMFL-II


def transition_lines(model: Model, theory: str = "joint", decades: float = 3.0,
                     per_decade: int = 8, tolerance: float = 1e-4) -> Lines:
    """Where kappa, lowered at fixed sizes, takes the network through its phases.

    Parameters
    ----------
    model : Model
        Its kappa is the highest looked at.
    theory : str
        One of ``THEORIES``.
    decades : float
        How far kappa is lowered.
    per_decade : int
        Points of the scan in which a change is then bracketed.
    tolerance : float
        To which ln kappa is then found by bisection.
    """
    scan = model.kappa * 10.0 ** -np.linspace(0.0, decades, round(decades * per_decade) + 1)

    @functools.cache
    def at(log_kappa: float) -> tuple[bool, bool, bool, bool]:
        found = solve(dataclasses.replace(model, kappa=math.exp(log_kappa)), theory)
        two = math.isfinite(found.barrier)
        return (two or found.wells[0] > 0.0, found.phase != "GFL",
                two and found.depth < 0.0, found.phase == "GMFL-II")

    return Lines(*(first_change(lambda x, k=k: at(x)[k], np.log(scan), tolerance)
                   for k in range(4)))


def first_change(holds, x_k: np.ndarray, tolerance: float) -> float:
    """exp(x) at which ``holds`` first becomes true along ``x_k``; nan if it never does."""
    before = math.nan
    for x in x_k:
        if holds(float(x)):
            break
        before = float(x)
    else:
        return math.nan
    if math.isnan(before):
        return math.nan
    after = float(x)
    while abs(after - before) > tolerance:
        middle = 0.5 * (before + after)
        before, after = (before, middle) if holds(middle) else (middle, after)
    return math.exp(0.5 * (before + after))


class Limit(NamedTuple):
    """Values of u at which an unlearned network changes, d -> infinity; nan where it does not."""

    coexistence: float
    side_birth: float


def limit_lines(epsilon: float, strength: float, sigma_w2: float = 0.5,
                theory: str = "joint") -> Limit:
    r"""The lines u_c(epsilon) of a network that has not specialised, in the limit d -> infinity.

    With :math:`\sigma_a^2 = \hat s\,d/N` and :math:`\kappa = \hat\kappa/N` the strength of the
    drive is :math:`u = \hat s/\hat\kappa^2` and stays finite.  Neurons in the centre learn nothing
    of He_3, c = epsilon, and :math:`1 - b = \lambda_1/(\kappa + \lambda_1)` of He_1, where the
    drive widens their Gaussian law of Phi:

    .. math:: \frac{\lambda_1}{\kappa} = \frac{g\sqrt{u\hat s}}{1 - g u b^2},\qquad
              g = \frac{4\sigma_w^2}{\pi A_0} .

    Then :math:`g u b^2 < 1` at every u: the centre has no spinodal.  The action over d is
    :math:`V(\Phi, s) - (2u/\pi) q (b - 2cq)^2` with
    :math:`V = \Phi^2/2\sigma_w^2 + (s/\sigma_w^2 - 1 - \ln(s/\sigma_w^2))/2` (``joint``), or the
    first term alone at :math:`s = \sigma_w^2` (``frozen``, as published), so that a well as deep as
    the centre is at :math:`u = \min V / [(2/\pi) q (b - 2cq)^2]`.  Droplets that carry the output
    are then a fraction of order 1/d of the neurons: fewer than one where N/d is not large.

    Parameters
    ----------
    epsilon : float
        Amplitude of He_3 in the teacher.
    strength : float
        :math:`\hat s`.
    sigma_w2 : float
        d times the prior variance of an input weight.
    theory : {"frozen", "joint"}
        Which action.

    Raises
    ------
    ValueError
        For another theory, or if strength or sigma_w2 is not positive.
    """
    if theory not in ("frozen", "joint"):
        raise ValueError(f'"{theory}" is none of frozen, joint')
    if not (strength > 0.0 and sigma_w2 > 0.0):
        raise ValueError("strength > 0 and sigma_w2 > 0 are required")
    Phi = np.linspace(0.0, 6.0 * math.sqrt(sigma_w2), 1201)[:, None]
    s = sigma_w2 * (np.ones((1, 1)) if theory == "frozen" else np.geomspace(1e-3, 1.5, 900)[None])
    A = 1.0 + 2.0 * (s + Phi**2)
    q = Phi**2 / A
    V = Phi**2 / (2.0 * sigma_w2) + 0.5 * (s / sigma_w2 - 1.0 - np.log(s / sigma_w2))
    g = 4.0 * sigma_w2 / (math.pi * (1.0 + 2.0 * sigma_w2))

    def residual(log_u: float) -> float:
        y, prior = math.sqrt(g * math.exp(log_u)), g * math.sqrt(math.exp(log_u) * strength)
        # in x = y b: x (1 - x^2 + prior) = y (1 - x^2), one root below 1
        return float(optimize.brentq(lambda x: x * (1.0 - x * x + prior) - y * (1.0 - x * x), 0.0,
                                     1.0, xtol=1e-15)) / y

    def drive(b):
        return (2.0 / math.pi) * q * (b - 2.0 * epsilon * q) ** 2

    def crossing(excess) -> float:
        """u at which ``excess`` changes sign from - to +; nan if it does not below 1e6."""
        if excess(math.log(1e6)) < 0.0:
            return math.nan
        return math.exp(float(optimize.brentq(excess, math.log(1e-3), math.log(1e6), xtol=1e-9)))

    def depth(log_u):
        return -float(np.min((V - math.exp(log_u) * drive(residual(log_u)))[1:]))

    def well(log_u):
        """Largest fall of the action along Phi, from a point to a later one: of a side well."""
        action = np.min(V - math.exp(log_u) * drive(residual(log_u)), axis=1)
        return float(np.max(np.maximum.accumulate(action) - action)) - 1e-9

    equal = crossing(lambda x: depth(x) - 1e-9)
    return Limit(equal, crossing(well) if math.isfinite(equal) else math.nan)
