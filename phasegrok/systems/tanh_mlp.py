r"""Student and teacher, multilayer perceptrons of the same shape with tanh activation.

Layers of k_0, k_1, ..., k_L units with biases; the last is linear.  Weights are one flat vector,
layer by layer, the matrix (k_l, k_{l-1}) and then the biases, as PyTorch orders its parameters.
The teacher is drawn as PyTorch's default initialisation, uniform in :math:`\pm 1/\sqrt{k_{l-1}}`;
inputs x ~ N(0, I), n patterns to learn and n_test others; the prior of the student is Gaussian with
:math:`\alpha` times the standard deviation :math:`1/\sqrt{3 k_{l-1}}` of that initialisation.

.. math:: E/T = \sum_\mu |f(x_\mu) - f_*(x_\mu)|^2/2\sigma^2

The setting is that of Liu, Michaud and Tegmark (arXiv 2210.01117, sec. 3: 5-100-100-5, 100 patterns
of each kind, :math:`\alpha = 2`), who train it by Adam; here it is sampled.

The kernels :func:`forward` and :func:`backward` know flat weights and sizes of layers only.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.compiled import kernel
from phasegrok.systems.continuous import behaviour
from phasegrok.systems.elementary import CHUNK, tanhs


class Teacher(BaseModel):
    """A teacher of given layers, and the patterns that it labels."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    layers: list[int] = Field([5, 100, 100, 5], min_length=2, max_length=32,
                              description="units of each layer, inputs first")
    n: int = Field(100, ge=1, le=1_000_000, description="patterns")
    n_test: int = Field(100, ge=2, le=1_000_000, description="further patterns")
    disorder_seed: int = Field(1, ge=0, description="seed of teacher and patterns")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Weights of the teacher (all), patterns (n, inputs) and those of the test."""
        if min(self.layers) < 1:
            raise ValueError(f"layers = {self.layers}: every layer needs a unit")
        if rows is not None:
            raise ValueError("patterns are drawn, as is their teacher: leave out [data]")
        teacher, train, test = (np.random.default_rng(seed) for seed in
                                np.random.SeedSequence(self.disorder_seed).spawn(3))
        width = default_width(self.layers)
        return {"teacher": math.sqrt(3.0) * width * teacher.uniform(-1.0, 1.0, len(width)),
                "patterns": train.standard_normal((self.n, self.layers[0])),
                "test_patterns": test.standard_normal((self.n_test, self.layers[0]))}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Units of the widest layer."""
        return max(self.layers)


class Parameters(Teacher):
    """Parameters of the student and its teacher."""

    sigma2: float = Field(gt=0.0, description="variance of the likelihood of each output: T = "
                          "2 sigma2/(n outputs) for the mean squared error")
    alpha: float = Field(2.0, gt=0.0, description="prior width over that of the default "
                         "initialisation")

    def build(self, arrays: dict[str, np.ndarray]) -> "TeacherStudent":
        """The system on which kernels run."""
        sizes = np.array(self.layers)
        x, x_test = (np.ascontiguousarray(arrays[key]) for key in ("patterns", "test_patterns"))
        y, y_test = (outputs(sizes, arrays["teacher"], part) for part in (x, x_test))
        width = default_width(self.layers)
        return TeacherStudent(sizes, self.sigma2, self.alpha * width,
                              float(np.sqrt(np.sum(width**2))), arrays["teacher"], x, y, x_test,
                              y_test)


def default_width(layers) -> np.ndarray:
    """Standard deviation of every weight and bias at PyTorch's default initialisation, flat."""
    return np.concatenate([np.full((k + 1) * after, 1.0 / math.sqrt(3.0 * k))
                           for k, after in itertools.pairwise(layers)])


class TeacherStudent(NamedTuple):
    """Patterns and outputs of the teacher; ``width`` is that of the student's prior."""

    sizes: np.ndarray  # (L + 1,), units of each layer
    sigma2: float
    width: np.ndarray  # (n_coordinates,)
    norm: float  # of the weights at default initialisation
    teacher: np.ndarray  # (n_coordinates,)
    x: np.ndarray  # (n, inputs)
    y: np.ndarray  # (n, outputs)
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def n_coordinates(self) -> int:
        """Weights and biases."""
        return len(self.width)

    @property
    def n_units(self) -> int:
        """One: the whole network."""
        return 1

    @property
    def work_size(self) -> int:
        """Weights, and the scratch of the kernels."""
        return self.n_coordinates + scratch_size(self.sizes, max(len(self.x), len(self.x_test)))

    @property
    def series_names(self) -> tuple[str, ...]:
        """Mean squared errors, correlation with the teacher on the test, |w|/|w_0|."""
        return ("train_loss", "test_loss", "overlap", "weight_norm")

    @property
    def unit_name(self) -> str:
        """Norm of the weights over that at default initialisation."""
        return "weight_norm"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """phi times the teacher's latent and a draw from the prior for the rest; 1: the teacher."""
        if not -1.0 <= phi <= 1.0:
            raise ValueError(f"aligned = {phi:g}: a correlation lies between -1 and 1")
        rest = math.sqrt(1.0 - phi * phi)
        return phi * self.teacher / self.width + rest * rng.standard_normal(self.n_coordinates)


# --- any multilayer perceptron --------------------------------------------------------------------


def scratch_size(sizes, n: int) -> int:
    """Numbers of scratch that :func:`forward` and :func:`backward` need for n patterns."""
    return int(n * (np.sum(sizes[1:]) + 2 * np.max(sizes)) + 3 * CHUNK)


@kernel
def forward(sizes, theta, x, scratch):
    """Outputs (n, outputs) on patterns x (n, inputs); activities of all layers stay in ``scratch``.

    Parameters
    ----------
    sizes : int64 array, shape (L + 1,)
        Units of each layer, inputs first.
    theta : float64 array
        Weights and biases, flat.
    x : float64 array, shape (n, inputs)
    scratch : float64 array, of ``scratch_size(sizes, n)``
    """
    n = x.shape[0]
    room = scratch[: 2 * CHUNK].reshape(2, CHUNK)
    bits = scratch[2 * CHUNK : 3 * CHUNK].view(np.int64)
    at, first = 3 * CHUNK, 0
    before = x
    last = sizes.shape[0] - 2
    for layer in range(last + 1):
        k, after = sizes[layer], sizes[layer + 1]
        w = theta[first : first + k * after].reshape(after, k)
        first += k * after
        flat = scratch[at : at + n * after]
        field = flat.reshape(n, after)
        np.dot(before, w.T, field)
        for m in range(n):
            for i in range(after):
                field[m, i] += theta[first + i]
        if layer < last:
            tanhs(flat, room, bits)
        first += after
        at += n * after
        before = field
    return before


@kernel
def backward(sizes, theta, x, scratch, slope):
    """Fill ``slope`` with the derivative by all weights, after :func:`forward` on the same x.

    The outputs that ``forward`` left must have been replaced by the derivatives by them.
    """
    n = x.shape[0]
    widest = 0
    at, first = 3 * CHUNK, 0
    for layer in range(sizes.shape[0] - 1):
        at += n * sizes[layer + 1]
        first += (sizes[layer] + 1) * sizes[layer + 1]
    for layer in range(sizes.shape[0]):
        widest = max(widest, sizes[layer])
    rooms = scratch[at : at + 2 * n * widest]
    delta = scratch[at - n * sizes[-1] : at].reshape(n, sizes[-1])
    at -= n * sizes[-1]
    for layer in range(sizes.shape[0] - 2, -1, -1):
        k, after = sizes[layer], sizes[layer + 1]
        first -= after
        for i in range(after):
            slope[first + i] = 0.0
        for m in range(n):
            for i in range(after):
                slope[first + i] += delta[m, i]
        first -= k * after
        slope_w = slope[first : first + k * after].reshape(after, k)
        if layer == 0:
            np.dot(delta.T, x, slope_w)
        else:
            at -= n * k
            active = scratch[at : at + n * k].reshape(n, k)
            np.dot(delta.T, active, slope_w)
            w = theta[first : first + k * after].reshape(after, k)
            side = (layer % 2) * n * widest
            pulled = rooms[side : side + n * k].reshape(n, k)
            np.dot(delta, w, pulled)
            for m in range(n):
                for i in range(k):
                    pulled[m, i] *= 1.0 - active[m, i] * active[m, i]
            delta = pulled


def outputs(sizes, theta: np.ndarray, x: np.ndarray, activation=np.tanh) -> np.ndarray:
    """Outputs (n, outputs) of the network of weights ``theta``, with any activation (NumPy)."""
    first = 0
    for layer, (k, after) in enumerate(itertools.pairwise(sizes)):
        w, b = theta[first : first + k * after], theta[first + k * after : first + (k + 1) * after]
        x = (activation(x) if layer else x) @ w.reshape(after, k).T + b
        first += (k + 1) * after
    return x


# --- the system -----------------------------------------------------------------------------------


@kernel
def _student(system, xi, x, work):
    """Weights, outputs on x, and the scratch of the kernels."""
    theta, scratch = work[: xi.shape[0]], work[xi.shape[0] :]
    for k in range(xi.shape[0]):
        theta[k] = system.width[k] * xi[k]
    return theta, forward(system.sizes, theta, x, scratch), scratch


@kernel
def _square(f, y):
    """Sum of squares of f - y."""
    total = 0.0
    for m in range(f.shape[0]):
        for i in range(f.shape[1]):
            total += (f[m, i] - y[m, i]) ** 2
    return total


@kernel
def _correlation(f, y):
    """Correlation over patterns and outputs, each output less its mean; 0 for constants."""
    n = f.shape[0]
    ff, fy, yy = 0.0, 0.0, 0.0
    for i in range(f.shape[1]):
        mean_f, mean_y = 0.0, 0.0
        for m in range(n):
            mean_f += f[m, i] / n
            mean_y += y[m, i] / n
        for m in range(n):
            a, b = f[m, i] - mean_f, y[m, i] - mean_y
            ff += a * a
            fy += a * b
            yy += b * b
    return fy / math.sqrt(ff * yy) if ff > 0.0 and yy > 0.0 else 0.0


@kernel
def _norm(system, theta):
    """Norm of the weights over that at default initialisation."""
    square = 0.0
    for k in range(theta.shape[0]):
        square += theta[k] ** 2
    return math.sqrt(square) / system.norm


@behaviour(TeacherStudent)
def gradient(system, xi, work, out):
    theta, f, scratch = _student(system, xi, system.x, work)
    square = _square(f, system.y)
    for m in range(f.shape[0]):
        for i in range(f.shape[1]):
            f[m, i] = (f[m, i] - system.y[m, i]) / system.sigma2
    backward(system.sizes, theta, system.x, scratch, out)
    for k in range(out.shape[0]):
        out[k] *= system.width[k]
    return 0.5 * square / system.sigma2


@behaviour(TeacherStudent)
def observe(system, xi, work, series):
    _, f, _ = _student(system, xi, system.x, work)
    series[0] = _square(f, system.y) / system.y.size
    theta, f, _ = _student(system, xi, system.x_test, work)
    series[1] = _square(f, system.y_test) / system.y_test.size
    series[2] = _correlation(f, system.y_test)
    series[3] = _norm(system, theta)


@behaviour(TeacherStudent)
def units(system, xi, work, order):
    theta, f, _ = _student(system, xi, system.x_test, work)
    order[0, 0] = _correlation(f, system.y_test)
    order[0, 1] = _norm(system, theta)
