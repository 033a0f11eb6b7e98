# SPDX-License-Identifier: Apache-2.0
"""Laws of how throughput grows with cores, fitted to trials.

Both are fitted in their linear form, cores per throughput: N / X(N) = (1 + sigma (N - 1) + kappa N (N - 1)) / X(1), by
least squares of relative deviations, with sigma and kappa not negative. So a fit always comes to an end and needs no
first guess.

The interval of a parameter comes from 1999 fits to resampled trials, drawn within each core count with a fixed seed.
The percentiles are those of the expanded percentile interval, which makes up for how narrow the plain one is with few
trials (simulated at n = 6: it held sigma in 89 % of cases, the expanded one in 96 %). Source: T. C. Hesterberg, What
Teachers Should Know About the Bootstrap, The American Statistician 69, 2015. Below six trials at some core count no
interval is given. What a resampling of trials cannot show is that the law itself does not hold: the largest deviation
of a median from the curve does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

from orchestrator.stats.intervals import CONFIDENCE, FEWEST_FOR_INTERVAL
from orchestrator.stats.scaling import FEWEST_CORE_COUNTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AMDAHL, USL = "Amdahl", "USL"
FEWEST_FOR = {AMDAHL: FEWEST_CORE_COUNTS, USL: FEWEST_CORE_COUNTS + 1}  # core counts: one more than parameters
_RESAMPLES = 1999
_ROUNDING = 1e-9
_SEED = 20240717


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted value and its 95 % interval; None where there are too few trials for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A law that was fitted, or why it was not (``reason``, then everything else is None).

    ``one_core``: the throughput of one core, in the unit of the values. ``sigma``: the serial share (contention).
    ``kappa``: the cost of keeping cores coherent, of the USL only. ``largest_deviation``: of a median from the curve,
    as a share of the curve. ``core_counts`` and ``n`` (trials) were there to fit to.
    """

    law: str
    core_counts: int
    n: int
    reason: str = ""
    one_core: Parameter | None = None
    sigma: Parameter | None = None
    kappa: Parameter | None = None
    largest_deviation: float | None = None

    def throughput(self, cores: float) -> float:
        """The curve, in the unit of the values. Raises ValueError where nothing was fitted."""
        if self.one_core is None or self.sigma is None:
            raise ValueError(f"{self.law} was not fitted: {self.reason}")
        return scaled(cores, self.one_core.value, self.sigma.value, self.kappa.value if self.kappa else 0.0)


def scaled(cores: float, one_core: float, sigma: float, kappa: float = 0.0) -> float:
    """What the law with these parameters gives for a number of cores, in the unit of ``one_core``."""
    return one_core * cores / (1 + sigma * (cores - 1) + kappa * cores * (cores - 1))


def fit_amdahl(values: Mapping[int, Sequence[float]]) -> Fit:
    """Amdahl's law: X(N) = X(1) N / (1 + sigma (N - 1)). ``values``: throughputs of trials by core count.

    Source: G. M. Amdahl, Validity of the single processor approach to achieving large scale computing capabilities,
    AFIPS Spring Joint Computer Conference, 1967.
    """
    return _fit(AMDAHL, values)


def fit_usl(values: Mapping[int, Sequence[float]]) -> Fit:
    """The Universal Scalability Law: X(N) = X(1) N / (1 + sigma (N - 1) + kappa N (N - 1)); arguments as `fit_amdahl`.

    Source: N. J. Gunther, Guerrilla Capacity Planning, Springer, 2007, chapters 4 to 6.
    """
    return _fit(USL, values)


def _fit(law: str, values: Mapping[int, Sequence[float]]) -> Fit:
    kept = {cores: [value for value in mine if value > 0] for cores, mine in sorted(values.items())}
    kept = {cores: mine for cores, mine in kept.items() if mine}
    count, n = len(kept), sum(map(len, kept.values()))
    if count < FEWEST_FOR[law]:
        counts = f"{count} core count{'s' * (count != 1)}"
        return Fit(law, count, n, f"not fitted: {counts}, and {law} needs {FEWEST_FOR[law]} at least")
    one_core, sigma, kappa = map(float, _solve(law, kept)[0])
    if law == AMDAHL and sigma > 1 + _ROUNDING:
        return Fit(law, count, n, f"not fitted: throughput falls with cores, which {law} cannot describe")
    low: Sequence[float | None] = (None, None, None)
    high: Sequence[float | None] = (None, None, None)
    if min(map(len, kept.values())) >= FEWEST_FOR_INTERVAL:
        low, high = _bounds(law, kept)
    found = [Parameter(*parts) for parts in zip((one_core, sigma, kappa), low, high, strict=True)]
    deviations = [abs(median(mine) / scaled(cores, one_core, sigma, kappa) - 1) for cores, mine in kept.items()]
    return Fit(law, count, n, "", found[0], found[1], found[2] if law == USL else None, max(deviations))


def _solve(law: str, values: Mapping[int, Sequence[float]], resamples: int = 0) -> "NDArray[np.float64]":
    """Rows of (X(1), sigma, kappa) that fit best: to the values, or to so many resamples of them."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    cores = np.array([n for n, mine in values.items() for _ in mine], dtype=float)
    throughput = np.array([value for mine in values.values() for value in mine], dtype=float)
    unit = throughput.mean()
    columns = [np.ones_like(cores), cores - 1, cores * (cores - 1)][: 3 if law == USL else 2]
    # A relative deviation is that of this, times the coefficients, from 1.
    design = np.column_stack(columns) * (throughput / unit / cores)[:, None]
    if resamples:
        sizes = [len(mine) for mine in values.values()]
        weights = np.hstack([random.multinomial(n, [1 / n] * n, size=resamples) for n in sizes]).astype(float)
    else:
        weights = np.ones((1, len(cores)))
    size = len(columns)
    squares = (design[:, :, None] * design[:, None, :]).reshape(len(cores), size * size)
    products = (weights @ squares).reshape(-1, size, size)
    targets = weights @ design
    # Of all choices of coefficients that are zero, the best one in which no other is negative. The first never is zero.
    best = np.zeros_like(targets)
    least = np.full(len(targets), np.inf)
    for count in range(size):
        for others in combinations(range(1, size), count):
            chosen = [0, *others]
            part = np.linalg.solve(products[:, chosen][:, :, chosen], targets[:, chosen, None])[:, :, 0]
            explained = (part * targets[:, chosen]).sum(axis=1)
            better = (part >= 0).all(axis=1) & (-explained < least)
            best[better] = 0
            best[np.ix_(better, chosen)] = part[better]
            least[better] = -explained[better]
    start = best[:, :1]
    found = np.zeros((len(best), 3))
    found[:, 1:size] = best[:, 1:] / start
    found[:, 0] = unit / start[:, 0]
    return found


def _bounds(law: str, values: Mapping[int, Sequence[float]]) -> tuple[list[float], list[float]]:
    import numpy as np
    from scipy import stats

    n = min(map(len, values.values()))
    outside = float(stats.norm.sf(math.sqrt(n / (n - 1)) * stats.t.isf((1 - CONFIDENCE) / 2, n - 1)))
    low, high = np.quantile(_solve(law, values, _RESAMPLES), [outside, 1 - outside], axis=0)
    return low.tolist(), high.tolist()
