# SPDX-License-Identifier: Apache-2.0
"""`orch loads`: from a run at full speed, the loads at which all its variants can be compared."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import UserError


def loads(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run: its folder, a folder of runs, or an archive.")],
    shares: Annotated[
        str, typer.Option(help="Shares of what the slowest variant carries, with commas between.")
    ] = "25%,50%,75%",
    json_output: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Print the --set argument that measures a spec at shares of what the slowest variant of RUN carries.

    For example: orch run exp/load.yaml --set "$(orch loads results/load)"
    """
    wanted = [_share(text) for text in shares.split(",")]

    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.matched import matched_loads
    from orchestrator.cli.runs import chosen_run

    found = matched_loads(load(chosen_run(run)), wanted)
    if json_output:
        rates = [{"share": share, "bitrate_bps": rate} for share, rate in found.rates_bps.items()]
        print(json.dumps({"slowest": found.slowest, "throughput_bps": found.throughput_bps, "loads": rates}))
        return
    print(found.override)
    print(f"{found.slowest} carries least: {found.throughput_bps / 1e9:.3g} Gbit/s.", file=sys.stderr)


def _share(text: str) -> float:
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = 0.0
    if not percent or rest or not 0 < share <= 1:
        raise UserError(f"{text.strip()!r} is not a share. Give percentages above 0% and up to 100%, as in 25%,50%.")
    return share
