# SPDX-License-Identifier: Apache-2.0
"""Laws of how throughput grows with cores, fitted to trials.

Both are fitted in their linear form, cores per throughput: N / X(N) = (1 + sigma (N - 1) + kappa N (N - 1)) / X(1), by
least squares of relative deviations, with sigma and kappa not negative. So a fit always comes to an end and needs no
first guess. The interval of a parameter is the percentile interval of 999 fits to resampled trials, drawn within each
core count with a fixed seed; below six trials at some core count it would hold the truth too seldom, and is not given.
What a resampling of trials cannot show is that the law itself does not hold: the largest deviation of a median does.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.stats.intervals import CONFIDENCE, FEWEST_FOR_INTERVAL
from orchestrator.stats.scaling import FEWEST_CORE_COUNTS

AMDAHL, USL = "Amdahl", "USL"
FEWEST_FOR = {AMDAHL: FEWEST_CORE_COUNTS, USL: FEWEST_CORE_COUNTS + 1}  # core counts: one more than parameters
Bound = tuple[float | None, float | None, float | None]
_RESAMPLES = 999
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
    one_core, sigma, kappa = _solve(law, kept)
    if sigma > 1:
        return Fit(law, count, n, f"not fitted: throughput falls with cores as {law} cannot describe it")
    low: Bound = (None, None, None)
    high: Bound = (None, None, None)
    if min(map(len, kept.values())) >= FEWEST_FOR_INTERVAL:
        low, high = _bounds(law, kept)
    found = [Parameter(*parts) for parts in zip((one_core, sigma, kappa), low, high, strict=True)]
    deviations = [abs(median(mine) / scaled(cores, one_core, sigma, kappa) - 1) for cores, mine in kept.items()]
    return Fit(law, count, n, "", found[0], found[1], found[2] if law == USL else None, max(deviations))


def _solve(law: str, values: Mapping[int, Sequence[float]]) -> tuple[float, float, float]:
    """(X(1), sigma, kappa) that fit best."""
    import numpy as np
    from scipy.optimize import nnls

    cores = np.array([n for n, mine in values.items() for _ in mine], dtype=float)
    times = cores / np.array([value for mine in values.values() for value in mine], dtype=float)
    columns = [np.ones_like(cores), cores - 1, cores * (cores - 1)][: 3 if law == USL else 2]
    # A relative deviation is one of the ratio to the measured value from 1.
    scale = times.mean()
    found, _ = nnls(np.column_stack(columns) * scale / times[:, None], np.ones_like(cores))
    start = found[0] if found[0] > 0 else np.finfo(float).tiny
    return float(1 / (start * scale)), float(found[1] / start), float(found[2] / start) if law == USL else 0.0


def _bounds(law: str, values: Mapping[int, Sequence[float]]) -> tuple[Bound, Bound]:
    rng = random.Random(_SEED)
    fits = [_solve(law, {n: rng.choices(mine, k=len(mine)) for n, mine in values.items()}) for _ in range(_RESAMPLES)]
    outside = round((1 - CONFIDENCE) / 2 * (_RESAMPLES + 1))  # how many lie below the lower bound, itself included
    ordered = [sorted(column) for column in zip(*fits, strict=True)]
    low, high = ([column[place] for column in ordered] for place in (outside - 1, _RESAMPLES - outside))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
