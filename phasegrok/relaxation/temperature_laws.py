r"""How a relaxation time grows on cooling: activation, a divergence, or a critical power.

.. math::

   \text{Arrhenius}\quad & \ln\tau = \ln\tau_0 + B/T, \\
   \text{Vogel-Fulcher-Tammann}\quad & \ln\tau = \ln\tau_0 + B/(T - T_0), \quad 0 \le T_0, \\
   \text{critical power}\quad & \ln\tau = \ln\tau_0 - \gamma \ln(T/T_c - 1).

Temperatures are in units of energy, and T_0, T_c lie below all that were measured.

References
----------
.. [1] S. Arrhenius, Z. Phys. Chem. 4 (1889) 226.
.. [2] H. Vogel, Phys. Z. 22 (1921) 645; G. S. Fulcher, J. Am. Ceram. Soc. 8 (1925) 339; G. Tammann
   and W. Hesse, Z. Anorg. Allg. Chem. 156 (1926) 245.
.. [3] W. Götze and L. Sjögren, Rep. Prog. Phys. 55 (1992) 241.
"""

import numpy as np

from phasegrok.relaxation.fitted_laws import (
    Choice,
    FittedLaw,
    choose,
    fit_bent_line,
    fit_law,
)
from phasegrok.relaxation.inputs import points
from phasegrok.statistics import weighted_line

ARRHENIUS = "Arrhenius"
VOGEL_FULCHER_TAMMANN = "Vogel-Fulcher-Tammann"
CRITICAL_POWER = "critical power"

NEAR = 1.25
"""Ratio of the apparent barriers at both ends up to which Vogel-Fulcher-Tammann is Arrhenius."""

_FEWEST = 5  # points, of which each law leaves two at least

_TIMES = "relaxation times"


def arrhenius(temperature_k, tau_k, tau_err_k) -> FittedLaw:
    r"""Activation over one barrier B, :math:`\tau = \tau_0 e^{B/T}` [1]_.

    Parameters
    ----------
    temperature_k, tau_k, tau_err_k : array_like, shape (K,)
        Temperatures, relaxation times and their standard errors, which must be small against the
        times, as errors of logarithms are taken for tau_err/tau.

    Returns
    -------
    FittedLaw
        Of ln tau0 and B.

    Raises
    ------
    ValueError
        Fewer than three points, or what :func:`phasegrok.relaxation.inputs.points` refuses.
    """
    return _arrhenius(_logarithms(temperature_k, tau_k, tau_err_k, 3))


def vogel_fulcher_tammann(temperature_k, tau_k, tau_err_k) -> FittedLaw:
    r"""A barrier that grows on cooling, :math:`\tau = \tau_0 e^{B/(T - T_0)}` [2]_.

    Parameters
    ----------
    temperature_k, tau_k, tau_err_k : array_like, shape (K,)
        As in :func:`arrhenius`.

    Returns
    -------
    FittedLaw
        Of ln tau0, B and T0 >= 0; at T0 = 0, where it is Arrhenius, T0 is in ``at_edge``.

    Raises
    ------
    ValueError
        Fewer than four points, or as in :func:`arrhenius`.
    """
    return _vogel(_logarithms(temperature_k, tau_k, tau_err_k, 4))


def critical_power_law(temperature_k, tau_k, tau_err_k) -> FittedLaw:
    r"""A divergence as at a critical point, :math:`\tau = \tau_0 (T/T_c - 1)^{-\gamma}` [3]_.

    Parameters
    ----------
    temperature_k, tau_k, tau_err_k : array_like, shape (K,)
        As in :func:`arrhenius`, all above T_c.

    Returns
    -------
    FittedLaw
        Of ln tau0, gamma and Tc.

    Raises
    ------
    ValueError
        Fewer than four points, or as in :func:`arrhenius`.
    """
    return _critical(_logarithms(temperature_k, tau_k, tau_err_k, 4))


def temperature_law(temperature_k, tau_k, tau_err_k) -> Choice:
    r"""Which of the three laws relaxation times follow, by BIC.

    Vogel-Fulcher-Tammann does not count as a rival where it says the same as Arrhenius, which it
    contains: where the apparent barriers :math:`B\,(T/(T - T_0))^2` at the two ends of the range
    differ by less than a quarter even for T_0 plus two of its errors.

    Parameters
    ----------
    temperature_k, tau_k, tau_err_k : array_like, shape (K,)
        As in :func:`arrhenius`.

    Returns
    -------
    Choice
        "open" where the difference is below 4.

    Raises
    ------
    ValueError
        Fewer than five points, or as in :func:`arrhenius`.
    """
    data = _logarithms(temperature_k, tau_k, tau_err_k, _FEWEST)
    vogel, ends = _vogel(data), data[0][[0, -1]]
    T0, error = vogel["T0"]
    bent = np.inf
    if T0 + 2.0 * error < ends[0]:
        cold, hot = (ends / (ends - T0 - 2.0 * error)) ** 2
        bent = cold / hot
    same = (VOGEL_FULCHER_TAMMANN,) if bent < NEAR else ()
    return choose([_arrhenius(data), vogel, _critical(data)], same)


def _logarithms(temperature_k, tau_k, tau_err_k, fewest):
    T_k, tau_k, tau_err_k = points(temperature_k, tau_k, tau_err_k, fewest, _TIMES)
    if not (tau_k > 0.0).all():
        raise ValueError(f"{_TIMES}: leave out times that are not positive")
    return T_k, np.log(tau_k), tau_err_k / tau_k


def _arrhenius(data) -> FittedLaw:
    T_k, y_k, y_err_k = data
    line = weighted_line(1.0 / T_k, y_k, y_err_k)
    return fit_law(ARRHENIUS, ("ln tau0", "B"), lambda T, level, B: level + B / T, data,
                   [line.intercept, line.slope])


def _vogel(data) -> FittedLaw:
    lowest = data[0][0]
    return fit_bent_line(VOGEL_FULCHER_TAMMANN, ("ln tau0", "B", "T0"),
                         lambda T, T0: 1.0 / (T - T0), data,
                         lowest * (1.0 - np.geomspace(1e-3, 1.0, 60)),
                         (0.0, lowest * (1.0 - 1e-6)))


def _critical(data) -> FittedLaw:
    lowest = data[0][0]
    return fit_bent_line(CRITICAL_POWER, ("ln tau0", "gamma", "Tc"),
                         lambda T, Tc: -np.log(T / Tc - 1.0), data,
                         lowest * (1.0 - np.geomspace(1e-6, 0.99, 60)),
                         (1e-3 * lowest, lowest * (1.0 - 1e-9)))
