# SPDX-License-Identifier: Apache-2.0
"""HTML for notebooks: a run, its verdicts and a comparison, with rounded numbers and units in the heads."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from orchestrator.analysis.claims.verdicts import ClaimEvidence, ClaimVerdict
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.packets import packet_cells

if TYPE_CHECKING:
    from orchestrator.analysis.comparing import Comparison

_COLOURS = {True: "#14633d", False: "#a8201a", None: "#7a4f00"}
_MORE = (
    "trials, attempts, measured, baselines, per_core, per_second, per_stream, softirqs, interfaces, drops; cells(), "
    "ratios(), efficiencies(), fits(), limits(), costs(), stages(), quality(), verify(), compare(). dictionary() says "
    "what their columns mean."
)


def run_html(run: Run) -> str:
    """Return a run as HTML: its description and its medians."""
    own = run.quantity
    quantity, unit, scale = ("pps", "Mpps", 1e6) if run.counts_packets else (own.suffix, own.unit, own.scale)
    unit = run.in_its_time(unit)
    medians = packet_cells(run) if run.counts_packets else run.cells()
    names = (*run.levels, "goal", "n")
    table = medians[[name for name in names if name in medians and medians[name].notna().any()]].copy()
    for name in ("median", "low", "high"):
        table[f"{name}, {unit}"] = (medians[f"{name}_{quantity}"] / scale).round(2 if scale > 1 else 4)
    table["interval"] = medians["interval"]
    if run.virtual_time:
        table["measured in"] = run.measured_in
    notes = " ".join(run.virtual_time.notes) if run.virtual_time else ""
    notes = f"<p><b>{escape(notes)}</b></p>" if notes else ""
    head = f"<p><b>{escape(run.run_id)}</b><br>{escape(run.title)}</p>"
    return f"{head}{notes}{_table(table)}<p>More: {_MORE}</p>"


def verdicts_html(verdicts: Sequence[ClaimVerdict]) -> str:
    """Return verdicts as an HTML table: each claim with its verdict, published and measured numbers, and why."""
    if not verdicts:
        return "<p>No claim was tested.</p>"
    rows = []
    for verdict in verdicts:
        colour = _COLOURS[verdict.agrees]
        rows.append(
            f"<tr><td><b>{escape(verdict.claim)}</b></td><td style='text-align:left'>{escape(verdict.title)}</td>"
            f"<td style='text-align:left'><b style='color:{colour}'>{escape(verdict.verdict)}</b></td>"
            f"<td style='text-align:left'>{'<br>'.join(map(_published, verdict.evidence))}</td>"
            f"<td style='text-align:left'>{'<br>'.join(map(_measured, verdict.evidence))}</td>"
            f"<td style='text-align:left'>{escape(verdict.reason)}</td></tr>"
        )
    heads = "".join(f"<th style='text-align:left'>{name}</th>" for name in _HEADS)
    note = f"<p><b>Measured in {escape(verdicts[0].measured_in)}.</b></p>"
    return f"{note}<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


_HEADS = ("claim", "", "verdict", "published", "measured", "why")


def _published(one: ClaimEvidence) -> str:
    return escape(f"{one.name}: {one.published or f'expected {one.accepted}'.strip()}")


def _measured(one: ClaimEvidence) -> str:
    if one.median is None or one.low is None or one.high is None:
        return "no number"
    spread = f" ({one.low:.2f} to {one.high:.2f}, {one.interval})" if one.n > 1 else ""
    return escape(f"{one.median:.2f} {one.unit}{spread}, n = {one.n}")


def comparison_html(found: "Comparison") -> str:
    """Return a comparison as HTML: what differs between the runs, then cell by cell and speed-up by speed-up."""
    a, b = found.a, found.b
    parts = [
        f"<p>A: <b>{escape(a.run_id)}</b>, {escape(a.title)}<br>B: <b>{escape(b.run_id)}</b>, {escape(b.title)}</p>"
    ]
    if found.clocks:
        parts.append(f"<p><b>{escape(' '.join(found.clocks))}</b></p>")
    if found.hardware:
        lines = "".join(f"<li>{escape(f'{one.what}: {one.was} → {one.now}')}</li>" for one in found.hardware)
        parts.append(f"<p>The hardware differs:</p><ul>{lines}</ul>")
    parts.append(f"<p><b>{escape(found.sentence)}</b> {escape(found.could_have_told)}</p>")
    quantity = found.goal or a.quantity.label
    if not found.of_different_clocks:
        parts.append(f"<p>{escape(quantity)}:</p>{_table(_shown(found, found.cells))}")
    if not found.speed_ups.empty:
        parts.append(f"<p>Speed-up over {escape(str(found.reference))}:</p>{_table(_shown(found, found.speed_ups))}")
    if found.differences:
        parts.append(f"<p>{len(found.differences)} more of what may matter differs: see <code>differences</code>.</p>")
    return "".join(parts)


def _shown(found: "Comparison", frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a comparison's frame that carry information, scaled and rounded."""
    own = found.a.quantity
    levels = [name for name in dict.fromkeys([*found.a.levels, *found.b.levels]) if frame[name].notna().any()]
    table = frame[[*levels, "n_a", "n_b"]].rename(columns={"n_a": "n of A", "n_b": "n of B"})
    for side in ("a", "b"):
        name = next(column for column in frame if str(column).startswith((f"median_{side}_", f"speed_up_{side}")))
        unit, scale = ("", 1.0)
        if str(name).endswith("_pps"):
            unit, scale = ", Mpps", 1e6
        elif str(name).startswith("median"):
            unit, scale = f", {own.unit}", own.scale
        table[f"{side.upper()}{unit}"] = (frame[name] / scale).round(3)
    table["B / A"] = frame["ratio"].round(3)
    known = frame["ratio"].notna()
    spread = frame["low"].map("{:.2f}".format) + " to " + frame["high"].map("{:.2f}".format)
    table["spread"] = (spread + ", " + frame["interval"]).where(known, "")
    table["p (Holm)"] = frame["p_holm"].round(4)
    table["outcome"] = frame["outcome"] + frame["reason"].map(lambda reason: f": {reason}" if reason else "")
    return table


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_html(index=False, na_rep="", border=0))
