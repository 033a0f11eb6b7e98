# SPDX-License-Identifier: Apache-2.0
"""Statistics of repeated trials. Pure: numbers in, numbers out."""

from orchestrator.stats.differences import holm, rank_test, smallest_p
from orchestrator.stats.fits import AMDAHL, USL, Fit, Parameter, fit_amdahl, fit_usl, scaled
from orchestrator.stats.intervals import (
    CONFIDENCE,
    FEWEST_FOR_INTERVAL,
    Interval,
    Summary,
    order_ranks,
    summarize,
)
from orchestrator.stats.ratios import PairedRatio, Quotient, paired_ratio, quotient
from orchestrator.stats.scaling import (
    FEWEST_CORE_COUNTS,
    ideal_throughput,
    parallel_efficiency,
    shows_scaling,
)
from orchestrator.stats.stopping import is_narrow, relative_width

__all__ = [
    "AMDAHL",
    "CONFIDENCE",
    "FEWEST_CORE_COUNTS",
    "FEWEST_FOR_INTERVAL",
    "USL",
    "Fit",
    "Interval",
    "PairedRatio",
    "Parameter",
    "Quotient",
    "Summary",
    "fit_amdahl",
    "fit_usl",
    "holm",
    "ideal_throughput",
    "is_narrow",
    "order_ranks",
    "paired_ratio",
    "parallel_efficiency",
    "quotient",
    "rank_test",
    "relative_width",
    "scaled",
    "shows_scaling",
    "smallest_p",
    "summarize",
]
