# SPDX-License-Identifier: Apache-2.0
"""Statistics of repeated trials. Pure: numbers in, numbers out."""

from orchestrator.stats.boots import FEWEST_BOOTS, by_boot, summarize_boots
from orchestrator.stats.differences import boots_test, holm, rank_test, smallest_p
from orchestrator.stats.fits import ABSOLUTE, AMDAHL, RELATIVE, USL, Fit, Parameter, fit_amdahl, fit_usl, scaled
from orchestrator.stats.intervals import (
    BOOTS,
    CONFIDENCE,
    FEWEST_FOR_INTERVAL,
    ONE_BOOT,
    Interval,
    Summary,
    order_ranks,
    summarize,
)
from orchestrator.stats.power import ALPHA, TYPICAL_SPREAD, Detectable, detectable, relative_spread
from orchestrator.stats.ratios import PairedRatio, Quotient, paired_ratio, quotient, quotient_of_boots
from orchestrator.stats.scaling import (
    FEWEST_CORE_COUNTS,
    ideal_throughput,
    parallel_efficiency,
    shows_scaling,
)
from orchestrator.stats.signs import ahead_test, sign_test
from orchestrator.stats.stopping import is_narrow, relative_width

__all__ = [
    "ABSOLUTE",
    "ALPHA",
    "AMDAHL",
    "BOOTS",
    "CONFIDENCE",
    "FEWEST_BOOTS",
    "FEWEST_CORE_COUNTS",
    "FEWEST_FOR_INTERVAL",
    "ONE_BOOT",
    "RELATIVE",
    "TYPICAL_SPREAD",
    "USL",
    "Detectable",
    "Fit",
    "Interval",
    "PairedRatio",
    "Parameter",
    "Quotient",
    "Summary",
    "ahead_test",
    "boots_test",
    "by_boot",
    "detectable",
    "fit_amdahl",
    "fit_usl",
    "holm",
    "ideal_throughput",
    "is_narrow",
    "order_ranks",
    "paired_ratio",
    "parallel_efficiency",
    "quotient",
    "quotient_of_boots",
    "rank_test",
    "relative_spread",
    "relative_width",
    "scaled",
    "shows_scaling",
    "sign_test",
    "smallest_p",
    "summarize",
    "summarize_boots",
]
