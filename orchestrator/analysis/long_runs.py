# SPDX-License-Identifier: Apache-2.0
"""Changes within long trials: their last tenth compared with their first, as a tidy frame."""

import pandas as pd

from orchestrator.analysis.dataset import Run

_SHARE = 10  # a tenth at each end
_MIB = 2**20


def first_and_last(run: Run) -> pd.DataFrame:
    """Return one row per ok trial and host that was sampled over time.

    Columns: trial_id, the levels, round, host; ``throughput_ratio``: the mean rate of the last tenth of the trial's
    seconds over that of the first tenth, NaN for tools without per-second rates; ``memory_lost_mib``: the decrease of
    available memory from the first to the last tenth of the samples; ``slab_grown_mib``: the growth of the kernel's own
    objects between the two (medians, since buffers come and go with the traffic); ``drops``: packets that interfaces
    dropped; measured_in.
    """
    keys = ["trial_id", *run.levels, "round"]
    ratios = {str(trial_id): _ratio(one["throughput_bps"]) for trial_id, one in run.per_second.groupby("trial_id")}
    rows = []
    samples = run.over_time[run.over_time["kind"] == "measure"]
    for (trial_id, host), mine in samples.groupby(["trial_id", "host"], sort=False):
        first = mine.iloc[0]
        lost = -_grown(mine["memory_available"]) / _MIB
        grown = _grown(mine["slab"]) / _MIB
        ratio = ratios.get(str(trial_id), float("nan"))
        rows.append(
            [*(first[key] for key in keys), host, ratio, round(lost, 2), round(grown, 2), int(mine["drops"].iloc[-1])]
        )
    columns = [*keys, "host", "throughput_ratio", "memory_lost_mib", "slab_grown_mib", "drops"]
    return pd.DataFrame(rows, columns=columns).assign(measured_in=run.measured_in)


def _ends(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the first and the last tenth."""
    count = max(1, len(values) // _SHARE)
    return values.iloc[:count], values.iloc[-count:]


def _grown(values: pd.Series) -> float:
    """Return the median of the last tenth minus that of the first."""
    first, last = _ends(values)
    return float(last.median() - first.median())


def _ratio(rates: pd.Series) -> float:
    """Return the mean of the last tenth over that of the first."""
    begin, end = _ends(rates)
    return float(end.mean() / begin.mean()) if begin.mean() > 0 else float("nan")
