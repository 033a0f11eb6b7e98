# SPDX-License-Identifier: Apache-2.0
"""The command `orch`: its commands and its exit status.

A command's module is imported when the command is used, not before: pandas, Ansible and SSH take seconds to
import, and `orch --help` needs none of them. Help is plain text for the same reason: rich's takes 0.3 s.
"""

import importlib
import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer import _completion_classes, _completion_shared
from typer import main as typer_main
from typer.core import TyperCommand, TyperGroup

from orchestrator import __version__
from orchestrator.cli import streams, ulimits
from orchestrator.errors import TestbedError, UserError, refusal
from orchestrator.garbage import collect_rarely

INTERRUPTED = 130
# Debian keeps tools such as mke2fs where the PATH of an ordinary user does not lead.
_SYSTEM_TOOLS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the module of this package that defines it, the function (or Typer app) there, and its help."""

    module: str
    name: str
    help: str
    passes_arguments: bool = False  # unknown options and arguments are for another program


COMMANDS = {
    "run": Entry("run", "run", "Run an experiment end to end, from its spec to its figures."),
    "plan": Entry("spec", "plan", "Show the trials of an experiment, in order, without running them."),
    "validate": Entry("spec", "validate", "Check specs and report every error with its location."),
    "schema": Entry("spec", "schema", "Print the JSON Schema of specs, for editors."),
    "report": Entry("report", "report", "Redraw a run's figures and report."),
    "list": Entry("list", "list_runs", "List stored runs, newest first."),
    "verify": Entry("verify", "verify", "Show which of the paper's claims a run reproduces."),
    "loads": Entry("loads", "loads", "Print the loads at which all variants of a run can be compared."),
    "explain": Entry("explain", "explain", "Show what limits each cell of a run, and where its CPU time goes."),
    "reproduce": Entry("reproduce", "reproduce", "Run the experiment that a claim needs, and give the verdict."),
    "compare": Entry("compare", "compare", "Compare two runs, cell by cell."),
    "rerun": Entry("rerun", "rerun", "Repeat a run on this testbed, and compare the two."),
    "notebook": Entry("notebook", "notebook", "Open JupyterLab on a run."),
    "export": Entry("export", "export", "Export a run as one file for an archive."),
    "init": Entry("init", "init", "Create a folder with an experiment of your own to start from."),
    "restore": Entry("restore", "restore", "Restore the host settings that a crashed run left changed."),
    "testbed": Entry("testbed", "app", "Prepare hosts that are reached by SSH: pin host keys, provision."),
    "lab": Entry("lab", "app", "Start, stop and enter the lab on this computer."),
    "kernel": Entry("kernel", "app", "Build the WireGuard modules, list the variants, write the source."),
    "cache": Entry("cache", "app", "Manage what was built for the lab: list, prune, export, import."),
    "artifact": Entry("artifact", "artifact", "Print the artifact appendix: claims, experiments, times, hardware."),
    "doctor": Entry("doctor", "doctor", "Show what this computer, or the hosts of a testbed, lack."),
    "test": Entry("test", "test", "Run the project's own checks and tests.", passes_arguments=True),
}


def load(name: str) -> Any:
    """Return a command by its name, as the object that Click runs."""
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"orchestrator.cli.{entry.module}"), entry.name)
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        made: Any = typer_main.get_command(found)
        for command in made.commands.values():
            command.short_help = _first_sentence(command.help)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        extra = {"allow_extra_args": True, "ignore_unknown_options": True} if entry.passes_arguments else None
        single.command(name, context_settings=extra)(found)
        made = typer_main.get_command(single)
    made.name = name
    return made


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


class _Commands(TyperGroup):
    """A group that knows the name and help line of every command, and imports only the command that is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # A short help is shown in full; without one, Typer cuts the help off, in completion after 45 characters.
        made = {name: TyperCommand(name, help=one.help, short_help=one.help) for name, one in COMMANDS.items()}
        self.commands.update(made)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


app = typer.Typer(
    cls=_Commands,
    help="Reproduces a networking paper's experiments from a declarative spec.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# zsh loads Typer's script at the first Tab, when it must complete as well as define how.
_completion_shared._completion_scripts["zsh"] += (
    'if [[ $zsh_eval_context[-1] == loadautofunc ]]; then %(complete_func)s "$@"; fi\n'
)


class _ZshComplete(_completion_classes.ZshComplete):
    """Typer's completion for zsh, with apostrophes: zsh drops those that Typer doubles."""

    def format_completion(self, item: Any) -> str:
        return super().format_completion(item).replace("''", r"'\''")


_completion_classes.ZshComplete = _ZshComplete  # type: ignore[misc]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _add_system_tools() -> None:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(folder for folder in _SYSTEM_TOOLS if folder not in path)])


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status. User errors are printed to stderr as sentences."""
    try:
        if arguments[:1] != ["test"]:  # its arguments are for another program
            _refuse_empty(arguments)
        if not {"-h", "--help"}.intersection(arguments):
            _refuse_lost_folder()
            ulimits.refuse_little(arguments[0] if arguments else "")
        status = typer_main.get_command(app).main(list(arguments), prog_name="orch", standalone_mode=False)
    except UserError as error:
        print(f"orch: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        told = refusal(error)
        if told is None:
            raise
        print(f"orch: {told}", file=sys.stderr)
        return told.exit_status
    except ModuleNotFoundError:
        from orchestrator.dependencies import REMEDY, absent_packages, lacking

        absent = absent_packages()
        if not absent:
            raise
        print(f"orch: {lacking(absent)} {REMEDY}", file=sys.stderr)
        return TestbedError.exit_status
    except MemoryError:
        print("orch: this computer has no memory left, or `ulimit -v` allows no more of it.", file=sys.stderr)
        return TestbedError.exit_status
    except RuntimeError as error:  # CPython has no specific classes for these two
        if "can't start new thread" in str(error):
            said = "orch: no thread can be started: `ulimit -u` or `ulimit -v` allows no more. Raise it."
            print(said, file=sys.stderr)
            return TestbedError.exit_status
        if str(error).startswith("Symlink loop"):
            print(f"orch: {error}: its links lead in a circle. Name what they should lead to.", file=sys.stderr)
            return UserError.exit_status
        raise
    except typer.TyperException as error:
        mistake: Any = error  # typer's annotations do not declare `show`
        mistake.show()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("orch: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty arguments, which are usually shell variables without a value. After ``--``, they are for another
    program."""
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            what = f"The option {name} is" if argument else "An argument is"
            raise UserError(f"{what} empty. Give it a value; perhaps a shell variable in its place is not set.")


def _refuse_lost_folder() -> None:
    """Refuse a current folder that has been removed: relative paths are meaningless in it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("The current folder has been removed. Change to another one (`cd`).") from None


def main() -> None:
    """The console script."""
    collect_rarely()
    streams.prepare()
    _add_system_tools()
    status = run_command(sys.argv[1:])
    streams.ignore_signals()
    try:
        sys.stdout.flush()
    except OSError as error:  # a full disk, where the output went
        print(f"orch: cannot write the output: {error.strerror}.", file=sys.stderr)
        status = status or TestbedError.exit_status
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)
