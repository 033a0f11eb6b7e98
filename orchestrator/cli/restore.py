# SPDX-License-Identifier: Apache-2.0
"""`orch restore`: restore host settings after a crash."""

from typing import Annotated

import typer


def restore(
    testbed: Annotated[str, typer.Argument(help="A name in experiments/testbeds, or a file.")] = "lab",
    force: Annotated[bool, typer.Option("--force", help="Stop an agent that still holds a host.")] = False,
) -> None:
    """Restore the settings that a crashed run left changed on the hosts of a testbed.

    A run restores what it changed by itself, unless it is killed or loses power. Its journal then lists what is left.
    """
    from orchestrator.spec import load_testbed, members_of
    from orchestrator.testbed import restore as put_back

    for bed in members_of(load_testbed(testbed)):
        for sentence in put_back(bed, force=force) or [f"Nothing to restore on the testbed {bed.testbed}."]:
            print(sentence)
