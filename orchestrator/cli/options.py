# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import completion

Tier = Annotated[
    str | None,
    typer.Option(
        help="How much to measure: smoke, quick, full, or another tier of the spec.", autocompletion=completion.tiers
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value of the spec, such as traffic.duration=3s; repeatable."
    ),
]
Busy = Annotated[
    str | None,
    typer.Option(
        metavar="reject|mark",
        help="How to treat attempts during other load on the computer: reject makes them invalid, mark keeps and "
        "marks them. "
        "Default: as the spec says; smoke tiers mark.",
    ),
]
Testbed = Annotated[
    str | None,
    typer.Option(
        help="Use this testbed instead of the spec's: a name in experiments/testbeds, or a file.",
        autocompletion=completion.testbeds,
    ),
]
Order = Annotated[
    str | None,
    typer.Option(help="The order of cells within a round: random (the default), or sequential for debugging."),
]
Results = Annotated[Path, typer.Option(help="The folder in which runs are stored.")]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Resume a run: its folder or its id. Tier, --set, --testbed and --order "
        "are those of that run unless given.",
    ),
]
OnChange = Annotated[
    str | None,
    typer.Option(
        metavar="keep|rerun|abort",
        help="What to do if something has changed since that run began. Default: ask.",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A Dask scheduler, such as tcp://HOST:8786. Each testbed is operated by a worker that has the "
        "resource of its name.",
    ),
]
Wait = Annotated[bool, typer.Option(help="Wait while another run uses the testbed, or exit.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as one line of JSON at the end.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Answer yes to all questions, including the installation of packages.")
]
