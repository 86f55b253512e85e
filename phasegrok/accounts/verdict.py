r"""The verdict: which account of a sudden change fits the measured components of one run.

Nine answers: FIRST-ORDER (nucleation over a barrier), GLASS, CRITICAL, COARSENING (ordering below
T_c), DRIFT (deterministic slow flow), SADDLE (noise-triggered departure from an unstable point),
FLUCTUATION (it comes back), NONE (nothing changes) and UNDECIDED.  DRIFT, SADDLE and FLUCTUATION
support neither account of grokking.  There is no score: a rule, its components with their errors,
and what would change the label.

With the mean waiting time tau of clones, the noise-free crossing time t0, and
:math:`G = d\ln\tau/d\ln T`, the first line that holds gives the label::

    NONE         change of Phi < its fluctuation
    DRIFT        CV < .5, t0/tau in [.75, 1.25], |G| < .4
    SADDLE       CV < .6, |G| < .4, t0 > 2 tau or never, not ageing
    GLASS        ageing, kappa < .55
    CRITICAL     ageing, kappa >= .55, a > .05
    COARSENING   ageing, kappa >= .55, a < .02
    FLUCTUATION  more than .7 of the clones come back within ten transits, at 95 %
    FIRST-ORDER  not ageing, lag < .3 tau, p > .01, memoryless index in [.55, 1.6], |G| > 2,
                 transit < .2 tau
    UNDECIDED    otherwise

where ageing means that the relaxation time :math:`\tau_a(t_w)` of the connected two-time overlap
still grows,
:math:`d\ln\tau_a/d\ln t_w > .3`, and matters, :math:`\tau_a > .2\,\tau` at the last t_w.  DRIFT,
SADDLE and FIRST-ORDER also ask that at most .6 come back, at 95 %: a rare excursion that time
reversal undoes is no transition.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from phasegrok.relaxation.waiting_times import WaitingTimes
from phasegrok.statistics import format_error

FIRST_ORDER, GLASS, CRITICAL, COARSENING = "FIRST-ORDER", "GLASS", "CRITICAL", "COARSENING"
DRIFT, SADDLE, NONE, UNDECIDED = "DRIFT", "SADDLE", "NONE", "UNDECIDED"
FLUCTUATION = "FLUCTUATION"

CHANGE_MIN = 1.0  # change of Phi over its fluctuation: below, nothing happens
CV_DRIFT = 0.5  # noisy drifts stay below; an exponential has 1
CV_SADDLE = 0.6  # wider: the logarithmic escape time has a spread of its own
T0_DRIFT = (0.75, 1.25)  # t0 / tau: the noise-free run crosses when the clones do
T0_SADDLE = 2.0  # t0 / tau: without noise the departure comes far later, or never
G_FLAT = 0.4  # |d ln tau / d ln T|: drift 0, saddle 1/(2 lambda tau) < .25
G_STEEP = 2.0  # |d ln tau / d ln T| of nucleation: measured values exceeded 2.8
AGEING_EXPONENT = 0.3  # d ln tau_a / d ln t_w of full ageing is 1, of equilibrium 0
AGEING_GATE = 0.2  # tau_a / tau: an exponent inside a nucleation plateau is noise
KAPPA_GLASS = 0.55  # growth exponent of N <q_ab^2>: coarsening grows faster than a glass
A_CRITICAL = 0.05  # decay of C(t_w, 2 t_w) with t_w: critical correlations decay,
A_COARSENING = 0.02  # those of coarsening domains stay
LAG_MAX = 0.3  # lag / tau: true nucleation has a transit lag of .1 to .2
P_MIN = 0.01  # goodness of the shifted exponential: one false rejection in a hundred
MEMORYLESS = (0.55, 1.6)  # memoryless index, 1 for an exponential tail
TRANSIT_MAX = 0.2  # transit / tau: a slower passage spoils the exponential law of nucleation
RETURNS = (0.6, 0.7)  # share of clones that come back: at most for a transition, least for none
AT_95 = 1.96  # standard errors at which a share is compared with them
SIZE_SIGMAS = 3.0  # significance asked of d ln tau / dN > 0


class Measured(NamedTuple):
    """A measured value with its standard error (0 if it has none)."""

    value: float
    error: float = 0.0

    def __str__(self) -> str:
        return format_error(self.value, self.error) if self.error > 0.0 else f"{self.value:.3g}"


@dataclass(frozen=True)
class Components:
    r"""What was measured about one run; None, or NaN, is "not measured".

    Attributes
    ----------
    change : Measured, optional
        Change of the order parameter in units of its fluctuation.
    cv : Measured, optional
        Standard deviation / mean of the clones' waiting times.
    t0 : Measured, optional
        Crossing time of the noise-free run, infinite if it never crosses; in the unit of ``tau``.
    tau : Measured, optional
        Mean waiting time of the clones.
    G : Measured, optional
        d ln tau / d ln T.
    lag : Measured, optional
        Lag of the shifted-exponential law, in the unit of ``tau``.
    p_value : Measured, optional
        Goodness of the shifted-exponential law.
    memoryless : Measured, optional
        Memoryless index.
    transit : Measured, optional
        Duration of the passage itself, in units of tau.
    returned : Measured, optional
        Share of the clones that came back within ten transits of their event.
    barrier : Measured, optional
        Barrier of the effective potential, nats; its presence alone means nothing.
    barrier_size_slope : Measured, optional
        d barrier / dN; corroborates, never decides.
    size_slope : Measured, optional
        d ln tau / dN over the sizes measured.
    ageing : Measured, optional
        Late exponent d ln tau_a / d ln t_w.
    tau_a : Measured, optional
        Relaxation time tau_a at the last t_w, in the unit of ``tau``.
    kappa : Measured, optional
        Slope of ln N <q_ab^2>(t) against ln t over independent starts.
    a : Measured, optional
        -d ln C(t_w, 2 t_w) / d ln t_w.
    """

    change: Measured | None = None
    cv: Measured | None = None
    t0: Measured | None = None
    tau: Measured | None = None
    G: Measured | None = None
    lag: Measured | None = None
    p_value: Measured | None = None
    memoryless: Measured | None = None
    transit: Measured | None = None
    returned: Measured | None = None
    barrier: Measured | None = None
    barrier_size_slope: Measured | None = None
    size_slope: Measured | None = None
    ageing: Measured | None = None
    tau_a: Measured | None = None
    kappa: Measured | None = None
    a: Measured | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            item = getattr(self, field.name)
            if item is not None:
                known = None if math.isnan(item[0]) else Measured(*(float(x) for x in item))
                object.__setattr__(self, field.name, known)

    @classmethod
    def of_waits(cls, waits: WaitingTimes, **others: Measured | None) -> "Components":
        """Components from the waiting times of the clones, and all others by name.

        Parameters
        ----------
        waits : WaitingTimes
            Gives tau, cv, lag, p_value and memoryless; none of them if mostly censored.
        **others : Measured, optional
            Any other component.
        """
        names = ("tau", "cv", "lag", "p_value", "memoryless")
        known = {k: Measured(getattr(waits, k), getattr(waits, f"{k}_err")) for k in names}
        return cls(**known, **others)


NAMES = {
    "change": "change of Φ over its fluctuation",
    "cv": "spread CV of the waiting times",
    "t0": "noise-free crossing time t0",
    "tau": "mean waiting time τ",
    "G": "noise scaling G",
    "lag": "lag",
    "p_value": "goodness p of the exponential law",
    "memoryless": "memoryless index",
    "transit": "transit time",
    "returned": "share that comes back",
    "barrier": "barrier",
    "barrier_size_slope": "growth of the barrier with size",
    "size_slope": "growth of ln τ with size",
    "ageing": "ageing",
    "tau_a": "relaxation time τ_a",
    "kappa": "overlap exponent κ",
    "a": "decay exponent a",
}
"""The components in words."""


@dataclass(frozen=True)
class Verdict:
    """The account that fits one run, and how firmly.

    Attributes
    ----------
    label : str
        FIRST-ORDER, GLASS, CRITICAL, COARSENING, DRIFT, SADDLE, FLUCTUATION, NONE or UNDECIDED.
    reason : str
        Why, in plain physics, with the components quoted.
    would_change : tuple of str
        What would change the label: components within one error of a threshold, then those not
        measured; the nearest threshold if there is neither.
    fragile : tuple of str
        Names of the components within one error of a threshold that would change the label.
    not_measured : tuple of str
        Names of the components that were not measured.
    calibrated : bool
        Whether the controls, run with the same code and settings, came out right; otherwise the
        label is provisional.
    """

    label: str
    reason: str
    would_change: tuple[str, ...]
    fragile: tuple[str, ...]
    not_measured: tuple[str, ...]
    calibrated: bool = False

    def __str__(self) -> str:
        lines = [f"{self.label}{'' if self.calibrated else ' (provisional)'}: {self.reason}"]
        lines += [f"  would change it: {sentence}" for sentence in self.would_change]
        if self.not_measured:
            lines.append("  not measured: " + ", ".join(NAMES[n] for n in self.not_measured))
        return "\n".join(lines)


def decide(
    components: Components, temperature_drives: bool = False, calibrated: bool = False
) -> Verdict:
    """The verdict on one run from its measured components.

    A condition on a component that was not measured is neither met nor failed: a label that only
    lacks measurements is not given, and no later label is given in its place.  Three conditions are
    left out where they were not measured, and the verdict says so: "not ageing" (then GLASS,
    CRITICAL and COARSENING cannot be given either), the transit time and the share that comes back.

    Parameters
    ----------
    components : Components
        Measured values with errors.
    temperature_drives : bool
        Temperature also drives the transition (Curie-Weiss, Potts), so that G changes sign and may
        be small: then d ln tau/dN > 0 at three standard errors can replace \\|G\\| > 2.
    calibrated : bool
        Whether the stored calibration with the same code and settings holds.

    Returns
    -------
    Verdict
    """
    label = _label(components, temperature_drives)
    fragile: list[str] = []
    sentences: list[str] = []
    for name in _NAMES_WITH_THRESHOLD:
        crossing = _crossing(components, name, temperature_drives, label, reach=1.0)
        if crossing is not None:
            fragile.append(name)
            sentences.append(_crossing_sentence(components, name, *crossing[1:]))
    missing = tuple(f.name for f in fields(components) if getattr(components, f.name) is None)
    sentences += _missing_sentences(components, temperature_drives, label)
    if not sentences:
        sentences += _nearest_sentence(components, temperature_drives, label)
    reason = _reason(label, components, temperature_drives)
    return Verdict(label, reason, tuple(sentences), tuple(fragile), missing, calibrated)


# The rule ------------------------------------------------------------------------------------


def _all(*truths: bool | None) -> bool | None:
    """Three-valued "and": None is not known."""
    if False in truths:
        return False
    return None if None in truths else True


def _either(*truths: bool | None) -> bool | None:
    if True in truths:
        return True
    return None if None in truths else False


def _is_ageing(c: Components) -> bool | None:
    slows = None if c.ageing is None else c.ageing.value > AGEING_EXPONENT
    matters = (
        None if c.tau_a is None or c.tau is None else c.tau_a.value > AGEING_GATE * c.tau.value
    )
    # Without an exponent nothing was measured, however short tau_a is.
    return None if slows is None else _all(slows, matters)


def _t0_ratio(c: Components) -> float | None:
    if c.t0 is None or c.tau is None:
        return None
    return c.t0.value / c.tau.value if c.tau.value > 0.0 else math.inf


def _stays(c: Components) -> bool:
    """Whether enough clones stay after the event for it to be a transition, or it is not known."""
    return c.returned is None or c.returned.value + AT_95 * c.returned.error <= RETURNS[0]


def _comes_back(c: Components) -> bool:
    return c.returned is not None and c.returned.value - AT_95 * c.returned.error > RETURNS[1]


def _steep(c: Components, temperature_drives: bool) -> bool | None:
    """Evidence of a barrier: tau depends steeply on the noise, or grows with size."""
    steep = None if c.G is None else abs(c.G.value) > G_STEEP
    if not temperature_drives:
        return steep
    slope = c.size_slope
    grows = None if slope is None else slope.value > max(0.0, SIZE_SIGMAS * slope.error)
    return _either(steep, grows)


def _memoryless_waits(c: Components) -> bool | None:
    """Shifted-exponential waits with a short lag, from a fast enough passage."""
    return _all(
        None if c.lag is None or c.tau is None else c.lag.value < LAG_MAX * c.tau.value,
        None if c.p_value is None else c.p_value.value > P_MIN,
        None if c.memoryless is None else MEMORYLESS[0] <= c.memoryless.value <= MEMORYLESS[1],
        c.transit is None or c.transit.value < TRANSIT_MAX,
    )


def _conditions(c: Components, temperature_drives: bool) -> list[tuple[str, bool | None]]:
    """Whether each label's conditions hold, in the order of the rule."""
    ageing = _is_ageing(c)
    ratio = _t0_ratio(c)
    flat = None if c.G is None else abs(c.G.value) < G_FLAT
    drift = _all(
        None if c.cv is None else c.cv.value < CV_DRIFT,
        None if ratio is None else T0_DRIFT[0] <= ratio <= T0_DRIFT[1],
        flat,
        _stays(c),
    )
    saddle = _all(
        None if c.cv is None else c.cv.value < CV_SADDLE,
        flat,
        None if ratio is None else ratio > T0_SADDLE,
        ageing is not True,
        _stays(c),
    )
    conditions = [
        (NONE, None if c.change is None else c.change.value < CHANGE_MIN),
        (DRIFT, drift),
        (SADDLE, saddle),
    ]
    if ageing is not None:  # otherwise these cannot be given, and do not stand in the way
        kappa, a = c.kappa, c.a
        low = None if kappa is None else kappa.value < KAPPA_GLASS
        high = None if low is None else not low
        conditions += [
            (GLASS, _all(ageing, low)),
            (CRITICAL, _all(ageing, high, None if a is None else a.value > A_CRITICAL)),
            (COARSENING, _all(ageing, high, None if a is None else a.value < A_COARSENING)),
        ]
    nucleation = _all(ageing is not True, _memoryless_waits(c), _steep(c, temperature_drives),
                      _stays(c))
    return [*conditions, (FLUCTUATION, _comes_back(c)), (FIRST_ORDER, nucleation)]


def _label(c: Components, temperature_drives: bool) -> str:
    for label, holds in _conditions(c, temperature_drives):
        if holds is None:
            return UNDECIDED
        if holds:
            return label
    return UNDECIDED


# What would change it ------------------------------------------------------------------------

_NAMES_WITH_THRESHOLD = tuple(
    "change cv t0 tau G lag p_value memoryless transit returned size_slope ageing tau_a kappa "
    "a".split()
)


def _crossing(components, name, temperature_drives, label, reach) -> tuple | None:
    """(errors away, value, new label) of the nearest value of one component with another label."""
    item = getattr(components, name)
    if item is None or not (item.error > 0.0 and math.isfinite(item.value)):
        return None

    def label_at(sigmas: float) -> str:
        moved = Measured(item.value + sigmas * item.error, item.error)
        return _label(replace(components, **{name: moved}), temperature_drives)

    n = 50  # steps finer than any window of the rule that matters within an error
    for step in range(1, n + 1):
        for sign in (1.0, -1.0):
            outside = sign * reach * step / n
            changed = label_at(outside)
            if changed == label:
                continue
            inside = sign * reach * (step - 1) / n
            for _ in range(40):
                middle = 0.5 * (inside + outside)
                if label_at(middle) == label:
                    inside = middle
                else:
                    outside = middle
            return abs(outside), item.value + outside * item.error, label_at(outside)
    return None


def _crossing_sentence(components, name, value, new_label) -> str:
    item = getattr(components, name)
    side = "above" if value > item.value else "below"
    return f"{NAMES[name]} is {item}; {side} {value:.3g} it would be {new_label}"


def _nearest_sentence(components, temperature_drives, label) -> list[str]:
    """The threshold that is fewest errors away, when none is within one."""
    nearest = []
    for name in _NAMES_WITH_THRESHOLD:
        crossing = _crossing(components, name, temperature_drives, label, reach=25.0)
        if crossing is not None:
            nearest.append((crossing[0], name, crossing[1:]))
    if not nearest:
        return []
    sigmas, name, crossing = min(nearest)
    sentence = _crossing_sentence(components, name, *crossing)
    return [f"{sentence} (the nearest threshold, {sigmas:.1f} errors away)"]


def _completions(c: Components, name: str) -> list[dict[str, Measured]]:
    """Typical outcomes of a measurement that was not made."""
    tau = 1.0 if c.tau is None else c.tau.value
    values = {
        "change": (0.0, 10.0),
        "cv": (0.2, 0.55, 1.0),
        "t0": (tau, math.inf),
        "tau": (),
        "G": (0.0, 10.0),
        "lag": (0.0, tau),
        "p_value": (0.0, 0.5),
        "memoryless": (0.0, 1.0),
        "transit": (0.0, 1.0),
        "returned": (0.0, 1.0),
        "size_slope": (0.0, 1.0),
        "tau_a": (0.0, 10.0 * tau),
        "kappa": (0.3, 0.9),
        "a": (0.0, 0.1),
    }
    if name == "ageing":
        aged = {"ageing": Measured(1.0), "tau_a": Measured(10.0 * tau)}
        overlaps = [(0.3, 0.1), (0.9, 0.1), (0.9, 0.0)]
        return [aged | {"kappa": Measured(k), "a": Measured(a)} for k, a in overlaps]
    return [{name: Measured(v)} for v in values[name]]


def _missing_sentences(components, temperature_drives, label) -> list[str]:
    sentences = []
    for name in _NAMES_WITH_THRESHOLD:
        if getattr(components, name) is not None:
            continue
        outcomes = {
            _label(replace(components, **completion), temperature_drives): None
            for completion in _completions(components, name)
        }
        others = [outcome for outcome in outcomes if outcome != label]
        if name == "ageing" and others:
            sentences.append(
                "ageing was not measured; a relaxation time that grows with the waiting time "
                f"would make it {_or(others)}"
            )
        elif others:
            sentences.append(f"{NAMES[name]} was not measured; it could make it {_or(others)}")
    return sentences


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


# In words ------------------------------------------------------------------------------------


def _reason(label: str, c: Components, temperature_drives: bool) -> str:
    if label == NONE:
        text = f"Φ changes by {c.change} of its fluctuation: nothing happens"
    elif label == DRIFT:
        text = (
            f"all clones cross at nearly one time (CV {c.cv}), the noise-free run too "
            f"(t0/τ = {_t0_ratio(c):.2f}), and noise does not matter (G = {c.G}): slow flow"
        )
    elif label == SADDLE:
        text = (
            f"clones cross at nearly one time (CV {c.cv}) that noise hardly changes (G = {c.G}), "
            f"but without noise {_without_noise(c)}: noise starts the fall from an unstable point"
        )
    elif label == FIRST_ORDER:
        text = (
            f"memoryless waits (p = {c.p_value}, index {c.memoryless}) after a short lag, with "
            f"{_steep_words(c)}: nucleation over a barrier"
        )
        text += _corroboration(c)
    elif label == FLUCTUATION:
        text = (
            f"clones come back ({c.returned} of them within ten transits of the event): a rare "
            "excursion that time undoes, and no transition"
        )
    elif label == UNDECIDED:
        text = _undecided(c, temperature_drives)
    else:
        text = f"relaxation slows with age (exponent {c.ageing}) and " + {
            GLASS: f"copies order too slowly for domain growth (κ = {c.kappa})",
            CRITICAL: f"correlations grow (κ = {c.kappa}) and decay with age (a = {c.a})",
            COARSENING: f"domains grow (κ = {c.kappa}) and keep their order (a = {c.a})",
        }[label]
    if _is_ageing(c) is None and label in (SADDLE, FIRST_ORDER):
        text += "; ageing was not measured, so a slow glassy relaxation is not excluded"
    if c.transit is None and label == FIRST_ORDER:
        text += "; nor was the transit time"
    if c.returned is None and label in (DRIFT, SADDLE, FIRST_ORDER):
        text += "; whether clones come back was not measured"
    return text


def _without_noise(c: Components) -> str:
    ratio = _t0_ratio(c)
    if ratio is None or math.isinf(ratio):
        return "the run never crosses"
    return f"the run takes {ratio:.2g} times as long"


def _steep_words(c: Components) -> str:
    if c.G is not None and abs(c.G.value) > G_STEEP:
        return f"a mean that depends steeply on noise (G = {c.G})"
    return f"a mean that grows with size (d ln τ/dN = {c.size_slope})"


def _corroboration(c: Components) -> str:
    slope = c.barrier_size_slope
    if slope is None:
        return ""
    if slope.value > SIZE_SIGMAS * slope.error:
        return f"; the barrier grows with size ({slope} a site), as it should"
    return f"; the barrier is not seen to grow with size ({slope} a site), so it gives no support"


def _undecided(c: Components, temperature_drives: bool) -> str:
    """Why no account fits, from the particular to the general."""
    if c.transit is not None and c.transit.value >= TRANSIT_MAX:
        return (
            f"the passage itself takes {c.transit} τ, not below {TRANSIT_MAX:g}: nucleation cannot "
            "pass its own test with this event; take one closer to the start of the passage"
        )
    conditions = _conditions(c, temperature_drives)
    unknown = [label for label, holds in conditions if holds is None]
    if unknown:
        return f"too little was measured to accept or exclude {_or(unknown)}"
    if _is_ageing(c) is True:
        return f"it ages, but a = {c.a} is neither critical decay nor domain growth"
    if not _stays(c):
        return (
            f"{c.returned} of the clones come back within ten transits: too many for a "
            "transition, too few for a mere fluctuation; take an event nearer to the new state"
        )
    if _memoryless_waits(c):
        if c.G is not None and abs(c.G.value) < G_FLAT:
            return (
                f"memoryless waits that noise does not change (G = {c.G}): a search for a rare "
                "opening would look the same, so no barrier is shown"
            )
        return f"memoryless waits, but noise changes them neither little nor much (G = {c.G})"
    return (
        f"the waits are not memoryless (lag {c.lag} of τ = {c.tau}, p = {c.p_value}, "
        f"index {c.memoryless}), and CV {c.cv}, G {c.G} with {_t0_words(c)} fit no simple flow"
    )


def _t0_words(c: Components) -> str:
    ratio = _t0_ratio(c)
    if ratio is None:
        return "t0 unknown"
    return "no noise-free crossing" if math.isinf(ratio) else f"t0/τ = {ratio:.2f}"
