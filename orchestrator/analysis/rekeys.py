# SPDX-License-Identifier: Apache-2.0
"""Throughput per second, and the effect of rekeys and of moves of gateway-a to other UDP ports, as tidy frames of ok
trials."""

from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.store.reading import read_attempts

NEAR_S = 2  # seconds before and after a rekey that count as near it


def _keys(run: Run) -> list[str]:
    return ["trial_id", *run.levels, "round"]


def _accepted(run: Run) -> list[dict[str, Any]]:
    """Return the ok attempt of each measured trial, with its identifying fields and its measurements."""
    found: dict[str, dict[str, Any]] = {}
    for attempt in read_attempts(run.path, run.meta):
        if attempt["kind"] == "measure" and attempt["status"] == "ok":
            keys = {"trial_id": attempt["trial_id"], "round": attempt["round"], **attempt["levels"]}
            measured = attempt.get("measurements") or {}
            found.setdefault(attempt["trial_id"], {**{key: keys.get(key) for key in _keys(run)}, "measured": measured})
    return list(found.values())


def rates(run: Run) -> pd.DataFrame:
    """Return one row per second of each trial. Columns: trial_id, the levels, round, second (from 1), rate_bps (all
    tunnels), measured_in."""
    rows = [
        [*(trial[key] for key in _keys(run)), second, float(rate)]
        for trial in _accepted(run)
        for second, rate in enumerate(trial["measured"].get("rates_bps") or (), start=1)
    ]
    return pd.DataFrame(rows, columns=[*_keys(run), "second", "rate_bps"]).assign(measured_in=run.measured_in)


def rekeys(run: Run) -> pd.DataFrame:
    """Return one row per handshake during a trial, as the gateways saw it; of several on one device, only the last.

    Columns: trial_id, the levels, round, gateway, device, at_s (seconds after the warm-up), measured_in.
    """
    rows = [
        [*(trial[key] for key in _keys(run)), found["gateway"], found["device"], float(found["at_s"])]
        for trial in _accepted(run)
        for found in trial["measured"].get("handshakes_in_traffic") or ()
        if found["at_s"] > 0
    ]
    return pd.DataFrame(rows, columns=[*_keys(run), "gateway", "device", "at_s"]).assign(measured_in=run.measured_in)


def roams(run: Run) -> pd.DataFrame:
    """Return one row for each time that gateway-a changed the UDP ports of all tunnels during a trial.

    Columns: trial_id, the levels, round, at_s (seconds after the warm-up), took_s (from the first tunnel to the last),
    measured_in.
    """
    rows = [
        [*(trial[key] for key in _keys(run)), float(move["at_s"]), float(move["took_s"])]
        for trial in _accepted(run)
        for move in trial["measured"].get("roams") or ()
    ]
    return pd.DataFrame(rows, columns=[*_keys(run), "at_s", "took_s"]).assign(measured_in=run.measured_in)


def cost(run: Run) -> pd.DataFrame:
    """Return the cost of rekeys, one row per trial that had one.

    Columns: trial_id, the levels, round, rekeys (how many tunnels), at_s (of the first); ``usual_bps``: the median of
    the seconds away from rekeys, ``lowest_bps``: the lowest of those near one (``NEAR_S`` before and after);
    ``remains``: lowest through usual, 1 if there is no dip; ``lowest_elsewhere``: the same for the other seconds, which
    shows how deep dips without a rekey are; measured_in.
    """
    found = rekeys(run)
    tunnels = found["device"].str.extract(r"(\d+)$", expand=False).groupby(found["trial_id"]).nunique()
    return _cost(run, found, "rekeys", tunnels)


def roaming_cost(run: Run) -> pd.DataFrame:
    """Return the cost of roaming, one row per trial with moves: as `cost`, with ``moves`` (how many) instead of
    ``rekeys``."""
    found = roams(run)
    return _cost(run, found, "moves", found.groupby("trial_id")["at_s"].count())


def _cost(run: Run, found: pd.DataFrame, what: str, counts: "pd.Series[int]") -> pd.DataFrame:
    """Return the rows of `cost` for the events ``found``; ``counts`` names their number in each trial."""
    rows = []
    seconds = rates(run)
    for trial_id, mine in found.groupby("trial_id", sort=False):
        here = seconds[seconds["trial_id"] == trial_id]
        near = pd.Series(False, index=here.index)
        for at_s in mine["at_s"]:
            # Second n is the time from n - 1 to n after the warm-up.
            near |= (here["second"] > at_s - NEAR_S) & (here["second"] - 1 < at_s + NEAR_S)
        at, elsewhere = here.loc[near, "rate_bps"], here.loc[~near, "rate_bps"]
        if at.empty or elsewhere.empty or elsewhere.median() <= 0:
            continue
        usual = float(elsewhere.median())
        rows.append(
            [
                *(mine.iloc[0][key] for key in _keys(run)),
                int(counts[trial_id]),
                float(mine["at_s"].min()),
                usual,
                float(at.min()),
                float(at.min()) / usual,
                float(elsewhere.min()) / usual,
            ]
        )
    columns = [*_keys(run), what, "at_s", "usual_bps", "lowest_bps", "remains", "lowest_elsewhere"]
    return pd.DataFrame(rows, columns=columns).assign(measured_in=run.measured_in)
