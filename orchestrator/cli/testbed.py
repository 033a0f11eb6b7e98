# SPDX-License-Identifier: Apache-2.0
"""`orch testbed`: prepare hosts that are reached by SSH."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.errors import UserError

if TYPE_CHECKING:
    from orchestrator.testbed.ssh.schema import SshTestbed

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Prepare hosts that are reached by SSH.")
File = Annotated[
    str, typer.Argument(help="A testbed with the provider ssh: a name in experiments/testbeds, or a file.")
]


def _load(name: str) -> "SshTestbed":
    from orchestrator.spec import Pool, load_testbed
    from orchestrator.testbed.ssh.schema import SshTestbed

    bed = load_testbed(name)
    if isinstance(bed, Pool):
        raise UserError(f"The testbed {bed.testbed} is a pool. Name one of its testbeds: {', '.join(bed.testbeds)}.")
    if not isinstance(bed, SshTestbed):
        raise UserError(
            f"The testbed {bed.testbed} has the provider {bed.provider}, whose machines orch creates itself."
        )
    return bed


@app.command()
def enroll(
    testbed: File,
    replace: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Accept the new key of this host; repeatable.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Pin without asking, because you have compared the fingerprints.")
    ] = False,
) -> None:
    """Fetch the host keys, show their fingerprints, and pin them. From then on no other key is accepted."""
    from orchestrator.testbed.ssh.keys import fetch_keys, pin
    from orchestrator.testbed.ssh.route import known_hosts_file, routes

    bed = _load(testbed)
    unknown = set(replace or ()) - {host.name for host in bed.hosts}
    if unknown:
        raise UserError(f"The testbed {bed.testbed} has no host {', '.join(sorted(unknown))}.")
    found = fetch_keys(routes(bed))
    for key in found:
        was = f", was {key.pinned}" if key.pinned else ""
        print(f"{key.host}  {key.fingerprint}  ({key.state}{was})")
    if all(key.state == "pinned" for key in found):
        print("All of them are already pinned.")
        return
    changed = [key for key in found if key.state == "changed" and key.host not in (replace or ())]
    refused = changed or [key for key in found if key.state == "revoked"]  # `pin` says why
    if not refused and not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError(
                "Nothing was pinned. Compare these with the output of `ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub` "
                "on each host, then use --yes."
            )
        if not typer.confirm("Are these the keys of your hosts?"):
            raise UserError("Nothing was pinned.")
    pin(found, replace or ())
    print(f"Pinned in {known_hosts_file()}.")


@app.command()
def provision(
    testbed: File,
    wait: Annotated[bool, typer.Option(help="Wait while a run uses the hosts, or exit.")] = True,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the outcome as one line of JSON at the end.")
    ] = False,
) -> None:
    """Provision the hosts for trials with Ansible. A second pass changes nothing.

    A run does this automatically if something is missing.
    """
    from orchestrator.cli.run import open_display
    from orchestrator.testbed.ssh.provider import OpenSshTestbed

    bed = _load(testbed)
    with open_display(bed.provider) as display:
        outcome = OpenSshTestbed(bed, display, wait=wait).provision_only()
    if json_output:
        told = {"tasks": outcome.tasks, "changed": outcome.changed, "seconds": round(outcome.seconds, 2)}
        print(json.dumps({**told, "changed_tasks": list(outcome.changed_tasks)}))
        return
    for task in outcome.changed_tasks:
        print(f"changed  {task}")
    print(f"{outcome.tasks} tasks, {outcome.changed} changed, {outcome.seconds:.0f} s.")
