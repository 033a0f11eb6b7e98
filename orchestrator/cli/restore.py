# SPDX-License-Identifier: Apache-2.0
"""`orch restore`: host settings put back after a crash."""

from typing import Annotated

import typer


def restore(
    testbed: Annotated[str, typer.Argument(help="A name in experiments/testbeds, or a file.")] = "lab",
    force: Annotated[bool, typer.Option("--force", help="End an agent that still has a host.")] = False,
) -> None:
    """Put back the settings that a run which crashed left changed on a testbed's hosts.

    A run puts back what it changed, whatever ends it but a kill or a power loss; its journal then says what is left.
    """
    from orchestrator.spec import load_testbed, members_of
    from orchestrator.testbed import restore as put_back

    for bed in members_of(load_testbed(testbed)):
        for sentence in put_back(bed, force=force) or [f"Nothing is to be put back on the testbed {bed.testbed}."]:
            print(sentence)
