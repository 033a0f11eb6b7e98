# SPDX-License-Identifier: Apache-2.0
"""Explanations in text: of a run, of a cell, or of the difference between two cells."""

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.costs import COUNTED, costs, not_readable, parts_of
from orchestrator.analysis.limits.loads import CellLoad, Group
from orchestrator.analysis.limits.rankings import core_in_words, reversals
from orchestrator.analysis.limits.rules import Limit, limit_of
from orchestrator.analysis.packets import GOALS, packet_cells, packet_trials
from orchestrator.analysis.profiles.table import covered, differences, ns_a_packet
from orchestrator.errors import UserError
from orchestrator.spec import Cell

KINDS = {"softirq": "softirqs", "other": "processes and threads"}
_HEADS = {"cycles_a_packet": "cycles per packet", "joules_a_gbit": "J per Gbit"}
WAITING = (
    "Cells without a rate per busy core: the packet generator shares their CPUs and spins while it waits for the next "
    "packet, so busy time is not the cost of packets."
)
_BAR = 20  # characters of a full bar


def cell_named(run: Run, words: str, known: Sequence[CellLoad]) -> CellLoad:
    """Return the cell that ``words`` describe, such as ``vanilla,cores=16,tunnels=1``.

    The words are separated by commas or spaces: a variant by its name, and any level as factor=level. Raises UserError
    if they match no cell or several.
    """
    wanted: dict[str, str] = {}
    for word in words.replace(",", " ").split():
        name, equals, level = word.partition("=")
        if not equals:
            name, level = "variant", word
        if name not in run.levels:
            raise UserError(f"There is no factor {name} in {run.run_id}. Its factors are {', '.join(_factors(known))}.")
        wanted[name] = level
    found = [load for load in known if all(_level(load.key, name) == level for name, level in wanted.items())]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {_words(load.key)}" for load in (found or known))
    problem = f"{len(found)} cells" if found else "no cell"
    raise UserError(f"{words!r} means {problem} of {run.run_id}. Name one of these:\n{listed}")


def _level(key: Cell, name: str) -> str:
    return str(key.get(name))


def _factors(known: Sequence[CellLoad]) -> list[str]:
    return list(dict.fromkeys(name for load in known for name in load.key))


def _words(key: Cell) -> str:
    """Return a cell in the form that ``cell_named`` reads."""
    return ",".join([key.variant, *(f"{name}={level}" for name, level in key.items() if name != "variant")])


def explain_run(run: Run) -> Iterator[str]:
    """Yield lines on the whole run: the limit and the cost of every cell, and the rankings that cost reverses."""
    known = run.loads
    if not known:
        yield no_samples(run)
        return
    table = costs(run)
    price = {Cell.of(row): row for row in table.to_dict("records")}
    cells = [str(load.key) for load in known]
    width = max(map(len, cells))
    core = core_in_words(run)
    per_core = f"per {core}"
    counted = [name for name in COUNTED if table[name].notna().any()]
    heads = "".join(f"  {_HEADS[name]:>15}" for name in counted)
    yield f"{'cell':{width}}  {known[0].unit:>7}  {per_core}{heads}  limit"
    for name, load in zip(cells, known, strict=True):
        row = price[load.key]
        more = "".join(f"  {row[column]:15.4g}" for column in counted)
        price_bps = row["bps_a_busy_core"]
        each = f"{load.shown(price_bps):.2f}" if price_bps == price_bps else "-"
        numbers = f"{load.shown(load.throughput_bps):7.2f}  {each:>{len(per_core)}}{more}"
        yield f"{name:{width}}  {numbers}  {limit_of(load).label}"
    yield ""
    if any(load.counts_waiting for load in known):
        yield WAITING
        yield ""
    if absent := not_readable(table):
        yield absent
        yield ""
    yield "What would lift each limit:"
    lifted: dict[str, str] = {}
    for load in known:
        found = limit_of(load)
        lifted.setdefault(found.label.removeprefix("probably "), found.lifted_by)
    yield from (f"  {label}: {by}." for label, by in lifted.items())
    if changed := reversals(run):
        yield ""
        yield f"Where the variant that carries most is not the one that carries most for each {core}:"
        yield from (f"  {one.sentence}" for one in changed)


def no_samples(run: Run) -> str:
    """Return the reason why nothing can be explained."""
    return "No cell of this run has a valid trial with samples of its CPUs."


def explain_cell(run: Run, load: CellLoad, against: CellLoad | None = None) -> Iterator[str]:
    """Yield lines on one cell; with ``against``, also on the differences between the two."""
    yield from _one(run, load)
    if against is None:
        return
    yield ""
    yield from _one(run, against)
    yield ""
    yield from _difference(load, against)
    yield from _difference_by_stage(run, load.key, against.key)


def _one(run: Run, load: CellLoad) -> Iterator[str]:
    limit = limit_of(load)
    summary = _summary(run, load.key)
    yield f"{load.key}: {load.shown(load.throughput_bps):.2f} {run.in_its_time(load.unit)}{summary}"
    yield f"  limit: {limit.label}"
    yield from (f"    {sentence}" for sentence in limit.why)
    yield f"    Lifted by: {limit.lifted_by}."
    yield f"  CPU time ({'shared by all roles' if load.shared else 'each role has its own CPUs'}){_while(load)}:"
    for group in load.groups:
        yield f"    {_bar(group)}"
    yield from _cost(load)
    yield from _stages(run, load.key)
    if folder := _median_trial(run, load):
        yield f"  evidence: {folder}"


def _while(load: CellLoad) -> str:
    """Return the load at which CPUs were sampled, if packets were lost there; otherwise an empty string."""
    if load.packets is None or not load.packets.loss_ratio:
        return ""
    return f" while {load.shown(load.carried_bps):.4g} kpps arrived and {load.packets.loss_ratio:.2%} was lost"


def _cost(load: CellLoad) -> Iterator[str]:
    """Yield lines on the CPU time per packet by role."""
    cost = {(part.group, part.kind): part.ns for part in parts_of(load)}
    if not cost:
        yield "  The cost of a packet is unknown: the generator shares these CPUs, and its waiting counts as busy."
        return
    path = "the whole path" if load.packets is None or load.shared else "the path behind the generator"
    yield f"  a packet of {load.packet_bytes:.0f} bytes: {sum(cost.values()):,.0f} ns of CPU time on {path}"
    for group in load.sampled:
        split = ", ".join(f"{cost[group.name, kind]:,.0f} in {words}" for kind, words in KINDS.items())
        yield f"    {group.name:10} {sum(cost[group.name, kind] for kind in KINDS):7,.0f} ns ({split})"


def _stages(run: Run, key: Cell) -> Iterator[str]:
    """Yield lines on the CPU time per packet by stage, if the cell was profiled."""
    profile = next((one for one in run.profiles if one.key == key), None)
    if profile is None:
        return
    cost = ns_a_packet(profile)
    whole = sum(cost.values())
    told = f"{covered(profile):.0%} of what /proc/stat gives"
    yield f"  the same by stage, in a trial of its own ({profile.source}), {told}:"
    yield from (f"    {stage:20} {ns:7,.0f} ns  {ns / whole:4.0%}" for stage, ns in cost.items() if ns >= 0.5)
    if profile.lost_s:
        yield f"    {profile.lost_s:.3g} s of CPU time found no room in the kernel's buffers."
    yield f"    calls: {profile.folder / 'profile.json'}; `orch report` draws them"


def _summary(run: Run, key: Cell) -> str:
    if run.counts_packets:
        return _packet_summary(run, key)
    for row in run.cells().to_dict("records"):
        if Cell.of(row) == key and row["n"]:
            low, high = row["low_bps"] / 1e9, row["high_bps"] / 1e9
            return f" (n = {row['n']}, {low:.2f} to {high:.2f}, {row['interval']})"
    return ""


def _packet_summary(run: Run, key: Cell) -> str:
    for row in packet_cells(run).to_dict("records"):
        if Cell.of(row) == key and row["n"]:  # the first goal's come first
            low, high = row["low_pps"] / 1e3, row["high_pps"] / 1e3
            bounded = f", {row['bounded_by']}" if row["bounded_by"] else ""
            return f" (n = {row['n']}, {low:.2f} to {high:.2f}, {row['interval']}; {GOALS[row['goal']][2]}{bounded})"
    return ""


def _bar(group: Group) -> str:
    filled = round(group.mean * _BAR)
    bar = "#" * filled + "." * (_BAR - filled)
    count = len(group.busy)
    text = f"{group.name:10} {bar} {group.total:5.2f} of {count} CPU{'s' * (count != 1)} busy"
    text += f", {group.softirqs:.2f} in softirqs"
    return text if count == 1 else f"{text}; the busiest {group.busy[0]:.0%}, the least busy {group.busy[-1]:.0%}"


def _difference(load: CellLoad, against: CellLoad) -> Iterator[str]:
    """Yield lines on the differences between two cells, the largest part first."""
    yield _ratio(load, against)
    one, other = limit_of(load), limit_of(against)
    yield f"  {_both_limits(one, other)}"
    mine, theirs = ({(part.group, part.kind): part.ns for part in parts_of(cell)} for cell in (load, against))
    if not mine or not theirs:
        yield "  The costs of packets cannot be compared: a generator that shares CPUs counts as busy while it waits."
        return
    total = sum(mine.values()) - sum(theirs.values())
    yield f"  A packet takes {abs(total):,.0f} ns {'more' if total > 0 else 'less'} CPU time on the whole path:"
    for place in sorted(mine.keys() & theirs.keys(), key=lambda place: -abs(mine[place] - theirs[place])):
        group, kind = place
        words = f"{group} in {KINDS[kind]}: {mine[place]:,.0f} against {theirs[place]:,.0f} ns"
        yield f"    {mine[place] - theirs[place]:+8,.0f} ns  {words}"


def _ratio(load: CellLoad, against: CellLoad) -> str:
    """Return the sentence on the ratio of two rates, or on why packet rates bounded in different ways have none."""
    one, other = (cell.packets.bounded_by if cell.packets else "" for cell in (load, against))
    if one != other:
        kinds = f"{one or 'a given rate'} and {other or 'a given rate'}"
        return f"What bounds the rates of {load.key} and {against.key} differs ({kinds}), so there is no ratio."
    mine, theirs = (cell.shown(cell.throughput_bps) for cell in (load, against))
    return f"{load.key} carries {mine / theirs:.2f} times as much as {against.key}."


def _difference_by_stage(run: Run, key: Cell, other: Cell) -> Iterator[str]:
    """Yield lines on the differences by stage, if both cells were profiled."""
    known = {one.key: one for one in run.profiles}
    if key not in known or other not in known:
        return
    yield "  By stage, from the profiles:"
    for stage, mine, theirs in differences(known[key], known[other]):
        yield f"    {mine - theirs:+8,.0f} ns  {stage}: {mine:,.0f} against {theirs:,.0f} ns"


def _both_limits(one: Limit, other: Limit) -> str:
    if (one.what, one.where) == (other.what, other.where):
        return f"Both have the same limit: {one.label}."
    return f"Its limit is: {one.label}; that of the other: {other.label}."


def _median_trial(run: Run, load: CellLoad) -> str:
    """Return the folder of the trial whose rate is nearest to the cell's median; empty without one."""
    column = run.quantity.column
    rows: list[dict[Any, Any]] = run.measured.to_dict("records")
    if run.counts_packets:
        trials = packet_trials(run)
        column, rows = "lower_pps", trials[trials["goal"] == trials["goal"].iloc[0]].to_dict("records")
    rows = sorted((row for row in rows if Cell.of(row) == load.key), key=lambda row: row[column])
    if not rows:
        return ""
    trial_id = rows[len(rows) // 2]["trial_id"]
    attempts = run.attempts[(run.attempts["trial_id"] == trial_id) & (run.attempts["status"] == "ok")]
    return str(run.path / "trials" / trial_id / str(attempts["attempt"].iloc[0])) if len(attempts) else ""
