# SPDX-License-Identifier: Apache-2.0
"""Scaling laws of throughput over cores, fitted to the medians of boots.

X(N) = X(1) N / (1 + sigma (N - 1) + kappa N (N - 1)); Amdahl's law has no kappa. A point is the median of one boot's
trials at one core count, so that a single outlying trial has no influence where a boot has several.

By default (`RELATIVE`) the squares are those of logarithms, that is, of relative deviations: disturbances multiply a
throughput, so a deviation of 5 % counts the same at 1 core and at 32. The usual choice for the Universal Scalability
Law (`ABSOLUTE`), for instance in the R package usl, is the squares of throughputs, which the largest ones dominate. The
two differ where the law does not hold exactly: for specsdm91, an example of that package, the usual fit has X(1) 90.0
and sigma 0.0277, though one processor was measured at 64.9; ours has 67.9 and 0.0135.

sigma and kappa are unbounded. Below 0 they have no meaning as contention or coherency: throughput then grows faster
than cores (superlinear scaling), and the fit says so instead of hiding it in a bound.

The interval of a parameter is that of nonlinear regression, linearized at the fit: Student's t with as many degrees of
freedom as there are boots in excess of parameters. It needs two boots at every core count. Source: D. M. Bates, D. G.
Watts, Nonlinear Regression Analysis and Its Applications, Wiley, 1988, section 2.3. Its coverage when boots differ is
simulated in benchmarks/coverage.py. It cannot show that the law itself does not hold; the largest deviation of a core
count from the curve can.

A single point that decides a fit is named: each point is left out once, and where the law then fits better than the
scatter of the others explains (the test of a mean-shift outlier: Student's t, Bonferroni for the number of points, 1
%), the fit says what it would be without that point. Source: R. D. Cook, S. Weisberg, Residuals and Influence in
Regression, Chapman and Hall, 1982, section 2.2.
"""

import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from orchestrator.stats.boots import FEWEST_BOOTS, t_quantile
from orchestrator.stats.intervals import CONFIDENCE
from orchestrator.stats.scaling import FEWEST_CORE_COUNTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AMDAHL, USL = "Amdahl", "USL"
RELATIVE, ABSOLUTE = "relative", "absolute"  # the deviations whose squares are minimized
FEWEST_FOR = {AMDAHL: FEWEST_CORE_COUNTS, USL: FEWEST_CORE_COUNTS + 1}  # core counts: one more than parameters
ONE_BOOT_NOTE = "no interval: one boot per core count, and how much boots differ is not known"
_NAMES = {AMDAHL: ("one_core", "sigma"), USL: ("one_core", "sigma", "kappa")}  # the parameters
_STRAY = 0.01  # chance that a point of a good fit is named
_ROUNDING = 1e-9

Trials = Mapping[int, Mapping[Hashable, Sequence[float]]]  # {cores: {boot: throughputs}}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted value and its 95 % interval; the bounds are None where a core count has only one boot."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted scaling law, or the ``reason`` why none was fitted; parameters and deviation are then None.

    ``one_core``: the throughput of one core, in the unit of the values. ``sigma``: the serial share (contention).
    ``kappa``: the cost of keeping cores coherent, for the USL only. ``largest_deviation``: the largest deviation of a
    core count's centre from the curve, as a share of the curve. ``core_counts``, ``n`` (trials) and ``boots`` (at the
    core count with the fewest): the size of the data. ``notes``: caveats, as clauses.
    """

    law: str
    core_counts: int
    n: int
    boots: int = 0
    reason: str = ""
    one_core: Parameter | None = None
    sigma: Parameter | None = None
    kappa: Parameter | None = None
    largest_deviation: float | None = None
    notes: tuple[str, ...] = ()

    def throughput(self, cores: float) -> float:
        """Return the throughput that the curve predicts, in the unit of the values.

        Raises ValueError if nothing was fitted.
        """
        if self.one_core is None or self.sigma is None:
            raise ValueError(f"{self.law} was not fitted: {self.reason}")
        return scaled(cores, self.one_core.value, self.sigma.value, self.kappa.value if self.kappa else 0.0)


def scaled(cores: float, one_core: float, sigma: float, kappa: float = 0.0) -> float:
    """Return the throughput that the law with these parameters gives for ``cores``, in the unit of ``one_core``."""
    return one_core * cores / (1 + sigma * (cores - 1) + kappa * cores * (cores - 1))


def fit_amdahl(trials: Trials, weights: str = RELATIVE) -> Fit:
    """Fit Amdahl's law: X(N) = X(1) N / (1 + sigma (N - 1)).

    ``trials``: throughputs by core count and boot; ``weights``: RELATIVE or ABSOLUTE, else ValueError. Source: G. M.
    Amdahl, Validity of the single processor approach to achieving large scale computing capabilities, AFIPS Spring
    Joint Computer Conference, 1967.
    """
    return _fit(AMDAHL, trials, weights)


def fit_usl(trials: Trials, weights: str = RELATIVE) -> Fit:
    """Fit the Universal Scalability Law: X(N) = X(1) N / (1 + sigma (N - 1) + kappa N (N - 1)).

    The arguments are those of `fit_amdahl`. Source: N. J. Gunther, Guerrilla Capacity Planning, Springer, 2007,
    chapters 4 to 6.
    """
    return _fit(USL, trials, weights)


@dataclass(frozen=True, slots=True)
class _Solution:
    """A least-squares solution.

    ``parameters``: log X(1), sigma and (for the USL) kappa; ``spread``: their covariance, not yet scaled by the
    residual variance; ``squares``: the sum of squared residuals.
    """

    parameters: "NDArray[np.float64]"
    spread: "NDArray[np.float64]"
    squares: float


def _fit(law: str, trials: Trials, weights: str) -> Fit:
    if weights not in (RELATIVE, ABSOLUTE):
        raise ValueError(f"weights are {RELATIVE} or {ABSOLUTE}, not {weights}")
    kept = {
        cores: {boot: mine for boot, values in boots.items() if (mine := [value for value in values if value > 0])}
        for cores, boots in sorted(trials.items())
    }
    kept = {cores: boots for cores, boots in kept.items() if boots}
    count, n = len(kept), sum(len(mine) for boots in kept.values() for mine in boots.values())
    boots = min((len(boots) for boots in kept.values()), default=0)
    if count < FEWEST_FOR[law]:
        counts = f"{count} core count{'s' * (count != 1)}"
        return Fit(law, count, n, boots, f"not fitted: {counts}, and {law} needs {FEWEST_FOR[law]} at least")
    points = [(cores, median(mine), len(mine)) for cores, boots_ in kept.items() for mine in boots_.values()]
    found = _solve(law, points, weights)
    if found is None:
        return Fit(law, count, n, boots, f"not fitted: {law} does not describe these throughputs")
    parameters = _parameters(found, len(points), boots)
    if law == AMDAHL and parameters[1].value > 1 + _ROUNDING:
        why = f"not fitted: throughput falls with cores, which {law} cannot describe"
        return Fit(law, count, n, boots, why, notes=tuple(_stray(law, points, weights)))
    notes = [ONE_BOOT_NOTE] * (boots < FEWEST_BOOTS) + _below_zero(parameters) + _stray(law, points, weights)
    values = [one.value for one in parameters]
    centres = {cores: math.exp(fmean(math.log(m) for c, m, _ in points if c == cores)) for cores in kept}
    deviation = max(abs(centre / scaled(cores, *values) - 1) for cores, centre in centres.items())
    kappa = parameters[2] if law == USL else None
    return Fit(law, count, n, boots, "", parameters[0], parameters[1], kappa, deviation, tuple(notes))


def _solve(law: str, points: Sequence[tuple[int, float, int]], weights: str) -> _Solution | None:
    """Return the least-squares solution, or None if the fit does not converge to a valid one."""
    import numpy as np
    from scipy.optimize import OptimizeWarning, curve_fit

    cores, medians = (np.array([point[place] for point in points], dtype=float) for place in (0, 1))
    unit = float(np.exp(np.log(medians).mean()))
    terms = np.column_stack([cores - 1, cores * (cores - 1)][: 2 if law == USL else 1])

    def curve(_: "NDArray[np.float64]", *parameters: float) -> "NDArray[np.float64]":
        below = np.maximum(1 + terms @ np.array(parameters[1:]), 1e-12)
        logs = parameters[0] + np.log(cores / below)
        fitted: NDArray[np.float64] = logs if weights == RELATIVE else np.exp(logs)
        return fitted

    # First guess: cores per throughput is linear in the law's parameters; fit that by relative deviations.
    share = medians / unit / cores
    linear = np.linalg.lstsq(np.column_stack([np.ones_like(cores), terms]) * share[:, None], np.ones_like(cores))[0]
    start = [-math.log(linear[0]), *(linear[1:] / linear[0])] if linear[0] > 0 else [0.0] * (1 + terms.shape[1])
    if (1 + terms @ np.array(start[1:]) <= 0).any():
        start[1:] = [0.0] * terms.shape[1]
    target = np.log(medians / unit) if weights == RELATIVE else medians / unit
    tolerance = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            best, spread = curve_fit(
                curve, cores, target, start, sigma=np.ones_like(cores), absolute_sigma=True, **tolerance
            )
    except (RuntimeError, ValueError):
        return None
    if not np.isfinite(best).all() or (1 + terms @ best[1:] <= 0).any():
        return None
    squares = float(((target - curve(cores, *best)) ** 2).sum())
    best[0] += math.log(unit)
    return _Solution(best, spread, squares)


def _parameters(found: _Solution, points: int, boots: int) -> list[Parameter]:
    """Return X(1), sigma and kappa with their intervals; X(1) is fitted as a logarithm."""
    values = [float(value) for value in found.parameters]
    freedom = points - len(values)
    if boots < FEWEST_BOOTS or freedom < 1:
        return [Parameter(math.exp(values[0])), *map(Parameter, values[1:])]
    variance = found.squares / freedom
    reach = [t_quantile(CONFIDENCE, freedom) * math.sqrt(variance * found.spread[i, i]) for i in range(len(values))]
    bounds = [(value - far, value + far) for value, far in zip(values, reach, strict=True)]
    one_core = Parameter(math.exp(values[0]), math.exp(bounds[0][0]), math.exp(bounds[0][1]))
    return [one_core, *(Parameter(value, *around) for value, around in zip(values[1:], bounds[1:], strict=True))]


def _below_zero(parameters: Sequence[Parameter]) -> list[str]:
    """Return clauses about a sigma or kappa below 0, which has no meaning as a cost."""
    said = []
    sigma, kappa = parameters[1], parameters[2] if len(parameters) > 2 else None
    if sigma.value < -_ROUNDING:
        if sigma.high is None:
            said.append("superlinear, or noise: sigma is below 0, and without an interval one cannot tell")
        elif sigma.high < 0:
            said.append("superlinear: throughput grows faster than cores, which no contention (sigma) does")
        else:
            said.append("linear within the interval: sigma is below 0 by no more than noise")
    if kappa is not None and kappa.value < -_ROUNDING and not (kappa.high is not None and kappa.high >= 0):
        said.append("kappa is below 0: throughput turns upwards with cores, which no cost of coherency does")
    return said


def _stray(law: str, points: Sequence[tuple[int, float, int]], weights: str) -> list[str]:
    """Return a clause about the most influential point, if the scatter of the others does not explain its influence.

    Deviations are relative, whatever the ``weights`` of the fit.
    """
    freedom = len(points) - 1 - len(_NAMES[law])
    whole = _solve(law, points, RELATIVE)
    if whole is None or freedom < 2:
        return [f"with {len(points)} points for {len(_NAMES[law])} parameters, a trial that went astray goes unnoticed"]
    squares = {}
    for place in range(len(points)):
        others = _without(points, place)
        if len({point[0] for point in others}) >= len(_NAMES[law]) and (found := _solve(law, others, RELATIVE)):
            squares[place] = found.squares
    place = min(squares, key=squares.__getitem__, default=0)
    gain, rest = whole.squares - squares.get(place, whole.squares), squares.get(place, 0.0) / freedom
    if gain <= _ROUNDING or gain <= rest * t_quantile(1 - _STRAY / len(points), freedom) ** 2:
        return []
    cores, _, trials = points[place]
    without = _solve(law, _without(points, place), weights)
    what, of = "trial" if trials == 1 else "boot", f"{cores} core{'s' * (cores != 1)}"
    instead = f"sigma is {without.parameters[1]:.3g}" if without else f"{law} cannot be fitted"
    return [f"one {what} decides this fit: without that of {of} {instead}"]


def _without(points: Sequence[tuple[int, float, int]], place: int) -> list[tuple[int, float, int]]:
    return [*points[:place], *points[place + 1 :]]
