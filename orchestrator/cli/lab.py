# SPDX-License-Identifier: Apache-2.0
"""`orch lab`: a lab that stays up until it is stopped, for exploration."""

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.errors import TestbedError, UserError

if TYPE_CHECKING:
    from orchestrator.testbed.lab.lab import Lab

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Start, stop and enter the lab on this computer.")


@app.command()
def up(
    testbed: Annotated[str, typer.Argument(help="A testbed with the provider uml or qemu.")] = "lab",
    cores: Annotated[int, typer.Option(min=1, help="Virtual CPUs of each machine.")] = 1,
) -> None:
    """Start the lab's machines. Their kernel and image are built first if the cache has none."""
    from orchestrator.cli.run import open_display
    from orchestrator.spec import Pool, load_testbed
    from orchestrator.testbed.lab.standing import bring_up

    bed = load_testbed(testbed)
    if isinstance(bed, Pool):
        raise UserError(f"The testbed {bed.testbed} is a pool. Name one of its testbeds: {', '.join(bed.testbeds)}.")
    with open_display(bed.provider) as display:
        bring_up(bed, cores, display)
    print(f"The lab is up: {', '.join(host.name for host in bed.hosts)}. `orch lab shell` opens a shell on it.")


@app.command()
def down() -> None:
    """Stop the lab and everything in it."""
    from orchestrator.testbed.lab.standing import standing_lab

    found = standing_lab()
    if found is None:
        print("No lab is up.")
        return
    found[0].close()
    print("The lab is down.")


@app.command()
def status() -> None:
    """Show whether a lab is up, and its machines."""
    from orchestrator.testbed.lab.standing import standing_lab

    found = standing_lab()
    if found is None:
        print("No lab is up. Start one with `orch lab up`.")
        return
    lab, description = found
    cores = description["cores"]
    print(f"testbed {description['testbed']}, {cores} virtual CPU{'s' * (cores != 1)} per machine")
    for name, machine in lab.request("status")["machines"].items():
        print(
            f"  {name}: {'running' if machine['running'] else 'ended'}, {machine['address']} inside the lab's network"
        )


def _standing() -> "tuple[Lab, dict[str, Any]]":
    from orchestrator.testbed.lab.standing import standing_lab

    found = standing_lab()
    if found is None:
        raise TestbedError("No lab is up. Start one with `orch lab up`.")
    return found


@app.command()
def inventory() -> None:
    """Print the path of an Ansible inventory of the lab's machines, for use with Ansible or as SSH hosts of a
    testbed.
    """
    from orchestrator.testbed.lab.standing import INVENTORY

    print(_standing()[0].folder / INVENTORY)


@app.command(context_settings={"ignore_unknown_options": True})
def shell(
    host: Annotated[str | None, typer.Argument(help="The machine. Default: the first.")] = None,
    command: Annotated[list[str] | None, typer.Argument(help="A command to run instead of a shell.")] = None,
) -> None:
    """Open a root shell on a machine of the lab, or run a command there."""
    lab, description = _standing()
    name = host or description["hosts"][0]
    if name not in description["hosts"]:
        raise TestbedError(f"The lab has no machine {name!r}; it has {', '.join(description['hosts'])}.")
    os.execvp("ssh", ["ssh", *lab.ssh_options(), f"root@{name}", *remote_command(command or [])])


def remote_command(words: list[str]) -> list[str]:
    """Quote a command for ssh, so that the remote shell sees the same words. A single word is passed as a command
    line for that shell, as ssh itself does."""
    return [shlex.join(words)] if len(words) > 1 else words
