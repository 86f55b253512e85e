r"""Response to a small field, its ratio to correlations, and the memory of a jump of temperature.

In equilibrium the response to a field that is switched on at :math:`t_w` follows from the
correlation of the unperturbed system; out of equilibrium the factor X is not 1 [1]_:

.. math:: T \chi(t_w, t_w + t) = X\, [C(t_w, t_w) - C(t_w, t_w + t)] .

References
----------
.. [1] L. F. Cugliandolo and J. Kurchan, Phys. Rev. Lett. 71 (1993) 173.
.. [2] A. Barrat, Phys. Rev. E 57 (1998) 3629.
.. [3] A. J. Kovacs, Adv. Polym. Sci. 3 (1963) 394.
.. [4] E. M. Bertin, J.-P. Bouchaud, J.-M. Drouffe and C. Godrèche, J. Phys. A 36 (2003) 10701.
"""

import math
from dataclasses import dataclass

import numpy as np

from phasegrok.relaxation.inputs import curves, without_each
from phasegrok.relaxation.peaks import maximum
from phasegrok.statistics import format_error, jackknife, mean_and_error, over_samples

_TOP = 0.8  # part of a hump from which on points enter


@dataclass(frozen=True)
class IntegratedResponse:
    r"""Response :math:`\chi(t_w, t_w + t)` to a field that is on from the waiting time on.

    Attributes
    ----------
    value_t, error_t : ndarray, shape (T,)
        Mean over replicas, and its standard error: over samples of the disorder where there are.
    chi_rt : ndarray, shape (R, T)
        Of every replica.
    """

    value_t: np.ndarray
    error_t: np.ndarray
    chi_rt: np.ndarray


@dataclass(frozen=True)
class FluctuationDissipation:
    """Fluctuation-dissipation ratio over a range of correlations.

    Attributes
    ----------
    ratio, error : float
        X, 1 in equilibrium, and its standard error over replicas.
    n : int
        Times that entered.
    c_low, c_high : float
        Least and largest mean correlation at these times.
    """

    ratio: float
    error: float
    n: int
    c_low: float
    c_high: float

    def __str__(self) -> str:
        return (f"X = {format_error(self.ratio, self.error)} "
                f"[C from {self.c_low:.3g} to {self.c_high:.3g}, {self.n} times]")


@dataclass(frozen=True)
class KovacsHump:
    """What an energy does that has its equilibrium value already, after a jump of temperature.

    Attributes
    ----------
    deviation_t, deviation_err_t : ndarray, shape (T,)
        Mean energy less that of equilibrium, with the errors of both.
    height, height_err : float
        Of the maximum; negative where the energy falls below.
    time, time_err : float
        Of the maximum.
    """

    deviation_t: np.ndarray
    deviation_err_t: np.ndarray
    height: float
    height_err: float
    time: float
    time_err: float

    @property
    def significance(self) -> float:
        """Height in units of its error; below 3, a maximum of mere noise is as likely."""
        return abs(self.height) / self.height_err if self.height_err > 0.0 else math.inf

    def __str__(self) -> str:
        return (f"hump {format_error(self.height, self.height_err)} at "
                f"t = {format_error(self.time, self.time_err)} "
                f"[{self.significance:.1f} errors high]")


def integrated_response(field_rn, with_field_rtn, without_rtn,
                        n_samples: int = 1) -> IntegratedResponse:
    r"""Integrated response of pairs of runs, one of them in a small random field [2]_.

    .. math:: \chi(t_w, t_w + t) = \frac{1}{N} \sum_i
              \frac{\overline{h_i\, (s_i^h(t_w + t) - s_i^0(t_w + t))}}{\overline{h^2}}

    The energy of the run in the field has the further term :math:`-\sum_i h_i s_i` from t_w on.
    Both runs start from one state at t_w, with the same random numbers if they are to differ
    little.  Fields are independent, with mean zero (+h or -h), so that other spins only add noise.
    Whether h is small enough, half of it shows: chi must be the same.

    Parameters
    ----------
    field_rn : array_like, shape (R, N)
        Fields h_i of every pair.
    with_field_rtn, without_rtn : array_like, shape (R, T, N)
        Spins or coordinates of both runs.
    n_samples : int
        Samples of the disorder; pairs of one sample stand together.

    Returns
    -------
    IntegratedResponse
        In units of s/h.

    Raises
    ------
    ValueError
        Shapes that do not fit, fewer than three pairs, samples that do not divide them, fields
        that are all zero, or values that are not finite.
    """
    field_rn = np.asarray(field_rn, dtype=float)
    with_field_rtn, without_rtn = np.asarray(with_field_rtn), np.asarray(without_rtn)
    shape = with_field_rtn.shape
    if len(shape) != 3 or without_rtn.shape != shape or field_rn.shape != (shape[0], shape[2]):
        raise ValueError("response: give fields (R, N) and both runs (R, T, N), not "
                         f"{field_rn.shape}, {shape} and {without_rtn.shape}")
    if shape[0] < 3 or n_samples < 1 or shape[0] % n_samples:
        raise ValueError("response: give at least three pairs of runs, the same number of each "
                         f"sample, not {shape[0]} of {n_samples}")
    square = float((field_rn**2).mean())
    if not (math.isfinite(square) and square > 0.0):
        raise ValueError("response: give fields that are finite and not all zero")
    chi_rt = np.array([(s_tn.astype(float) - free_tn) @ h_n for h_n, s_tn, free_tn
                       in zip(field_rn, with_field_rtn, without_rtn)]) / (shape[2] * square)
    if not np.isfinite(chi_rt).all():
        raise ValueError("response: leave out times and pairs that are not finite")
    mean_t, error_t, _ = over_samples(chi_rt, n_samples)
    return IntegratedResponse(mean_t, error_t, chi_rt)


def fluctuation_dissipation_ratio(chi_rt, c_rt, temperature: float,
                                  between: tuple[float, float] | None = None
                                  ) -> FluctuationDissipation:
    r"""Ratio :math:`X = -T\, d\chi/dC`, the slope of T chi against C(t_w, t_w) - C(t_w, t_w + t).

    A straight line by least squares through the mean curves, with errors by jackknife over
    replicas, whose responses and correlations are left out together.

    Parameters
    ----------
    chi_rt, c_rt : array_like, shape (R, T)
        Integrated response and correlation of every replica at the same times, the latter of the
        run without the field.  With disorder, one row a sample: the mean over its replicas.
    temperature : float
        T > 0, of the bath.
    between : pair of float, optional
        Only times at which the mean of C lies between both enter: the two parts of an ageing system
        have ratios of their own.

    Returns
    -------
    FluctuationDissipation

    Raises
    ------
    ValueError
        Shapes that differ, fewer than three replicas or times, a temperature that is not positive,
        a correlation that does not change, or values that are not finite.
    """
    what = "fluctuation-dissipation ratio"
    chi_rt, c_rt = np.asarray(chi_rt, dtype=float), np.asarray(c_rt, dtype=float)
    if chi_rt.shape != c_rt.shape or chi_rt.ndim != 2:
        raise ValueError(f"{what}: give chi and C of the same replicas and times, (R, T), not "
                         f"{chi_rt.shape} and {c_rt.shape}")
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise ValueError(f"{what}: give a positive temperature, not {temperature}")
    count = np.arange(c_rt.shape[1], dtype=float)
    for rows in (chi_rt, c_rt):
        curves(count, rows, 3, what)
    mean_t = c_rt.mean(axis=0)
    use = np.ones(len(mean_t), dtype=bool)
    if between is not None:
        use = (mean_t >= min(between)) & (mean_t <= max(between))
    if use.sum() < 3 or np.ptp(mean_t[use]) == 0.0:
        raise ValueError(f"{what}: give at least three times at which C differs, within "
                         f"{between or 'the data'}")

    def slope(chi_bt, c_bt):
        x = c_bt - c_bt.mean(axis=-1, keepdims=True)
        return -temperature * (x * chi_bt).sum(axis=-1) / (x * x).sum(axis=-1)

    ratio, error = jackknife(slope, chi_rt[:, use], c_rt[:, use])
    return FluctuationDissipation(float(ratio), float(error), int(use.sum()),
                                  float(mean_t[use].min()), float(mean_t[use].max()))


def kovacs_hump(time_t, energy_rt, equilibrium: float,
                equilibrium_err: float = 0.0) -> KovacsHump:
    r"""Hump :math:`E(t) - E_{eq}(T)` after a jump to the temperature at which E is in equilibrium.

    A system ages at a low temperature until its energy is that of equilibrium at T, and is brought
    to T.  Were the energy all that describes the state, it would stay; that it departs and returns
    shows that there is more [3]_, [4]_.

    Parameters
    ----------
    time_t : array_like, shape (T,)
        Positive times since the jump.
    energy_rt : array_like, shape (R, T)
        Energy of every replica.  With disorder, one row a sample: the mean over its replicas.
    equilibrium, equilibrium_err : float
        Energy in equilibrium at T, from another run, and its standard error.

    Returns
    -------
    KovacsHump
        The largest deviation, of either sign, is that of a polynomial in ln t through the
        logarithms of the points above 0.8 of it; errors are a jackknife over replicas, that of the
        height with the error of the equilibrium.

    Raises
    ------
    ValueError
        Fewer than three replicas or five times, times that are not positive, an energy that is not
        finite, or a maximum at the first or last time or between points that are too far apart.
    """
    what = "hump"
    time_t, energy_rt = curves(time_t, energy_rt, 5, what)
    if time_t[0] <= 0.0:
        raise ValueError(f"{what}: leave out times that are not positive")
    if not (math.isfinite(equilibrium) and math.isfinite(equilibrium_err)
            and equilibrium_err >= 0.0):
        raise ValueError(f"{what}: give a finite equilibrium energy with an error of 0 or more")
    deviation_rt = energy_rt - equilibrium
    mean_t, error_t = mean_and_error(deviation_rt)
    sign = math.copysign(1.0, mean_t[int(np.argmax(np.abs(mean_t)))])
    place, place_err, height, height_err = maximum(
        np.log(time_t), sign * mean_t, sign * without_each(deviation_rt), _TOP, what)
    time = math.exp(place)
    return KovacsHump(mean_t, np.hypot(error_t, equilibrium_err), sign * height,
                      math.hypot(height_err, equilibrium_err), time, time * place_err)
