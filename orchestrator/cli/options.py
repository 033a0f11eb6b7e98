# SPDX-License-Identifier: Apache-2.0
"""The options that the commands which run an experiment share."""

from pathlib import Path
from typing import Annotated

import typer

Tier = Annotated[str | None, typer.Option(help="How much of it: smoke, quick or full.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the spec; repeatable."),
]
Busy = Annotated[
    str | None,
    typer.Option(
        metavar="reject|mark",
        help="What competing load on the computer does: reject makes an attempt invalid, mark only marks it. "
        "Without it the spec decides; smoke tiers mark.",
    ),
]
Testbed = Annotated[str | None, typer.Option(help="Another testbed than the spec names.")]
Results = Annotated[Path, typer.Option(help="Where runs are stored.")]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Go on with a run: its directory or its id. Tier, --set, --testbed and --order "
        "are that run's unless given.",
    ),
]
OnChange = Annotated[
    str | None,
    typer.Option(
        metavar="keep|rerun|abort",
        help="What to do when something has changed since that run was begun; without it you are asked.",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A scheduler of Dask, such as tcp://HOST:8786: the work on each testbed is done by a worker that has the "
        "resource of its name.",
    ),
]
Wait = Annotated[bool, typer.Option(help="Wait while another run uses the testbed, or end.")]
Json = Annotated[bool, typer.Option("--json", help="End with a line of JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing; also lets the launcher install packages.")]
