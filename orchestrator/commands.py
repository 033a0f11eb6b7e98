# SPDX-License-Identifier: Apache-2.0
"""Running programs on this computer: build tools, whose output goes to a log and which leave no process behind; and
programs whose output is captured."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.errors import TestbedError

# Of the caller's environment: options of make, the kernel's build, compilers, shells, Perl, tar, xz and patch. Modules
# of clusters set some. What is built has to depend on nothing but what its key in the cache is made of.
_OPTIONS_OF_TOOLS = re.compile(
    r"(GNU)?MAKE(FLAGS|FILES|LEVEL|OVERRIDES)|MFLAGS|ARCH|SUBARCH|CROSS_COMPILE|LLVM(_IAS)?|LOCALVERSION"
    r"|(KBUILD|KCONFIG|INSTALL)_\w+|K(C|CPP|A|RUST)FLAGS|HOST(C|CXX|LD|RUST)FLAGS|HOSTLDLIBS|USER(C|LD)FLAGS"
    r"|(C|A|LD|RUST)FLAGS_\w+|CPATH|(C|CPLUS|OBJC)_INCLUDE_PATH|(LIBRARY|COMPILER)_PATH|GCC_EXEC_PREFIX"
    r"|BASH_ENV|ENV|CDPATH|SHELLOPTS|BASHOPTS|PERL5(LIB|OPT)"
    r"|TAR_OPTIONS|XZ_(OPT|DEFAULTS)|(PATCH_)?VERSION_CONTROL|PATCH_GET|POSIXLY_CORRECT"
)

_NOT_FOUND = 127  # the exit status of setpriv where there is no such program


def environment_of_tools(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for build tools and archivers: this process's, without what would be options of theirs,
    and with ``more``."""
    kept = {name: value for name, value in os.environ.items() if not _OPTIONS_OF_TOOLS.fullmatch(name)}
    return {**kept, "LC_ALL": "C.UTF-8", **(more or {})}


def capture(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    new_session: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program without input, and return its exit status and what it printed, as text.

    ``environment``: all of it, None for this process's; ``new_session``: without a terminal, so that it cannot ask for
    a password. Raises OSError if it cannot be run, and TimeoutExpired if it takes longer than ``timeout_s``.
    """
    return subprocess.run(
        arguments,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        start_new_session=new_session,
    )


def run_logged(
    arguments: Sequence[str | Path],
    log: Path,
    *,
    what: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    keep_log: Path | None = None,
) -> None:
    """Run a command and append its output to ``log``; ``on_line`` receives each line.

    The command ends with this process, however that ends. Raises TestbedError if there is no such program, and with the
    log's last lines if the exit status is not 0; the log is then copied to ``keep_log``, if given.
    """
    command = ["setpriv", "--pdeathsig", "TERM", *(str(argument) for argument in arguments)]
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {' '.join(command[3:])}\n")
        out.flush()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment_of_tools(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                on_line(line.rstrip())
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status == _NOT_FOUND and not shutil.which(str(arguments[0])):
        raise TestbedError(
            f"{what} needs {arguments[0]}, which is not on this computer. `orch doctor` says how to install it."
        )
    if status:
        tail = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-12:]
        where = ""
        if keep_log is not None:
            keep_log.parent.mkdir(parents=True, exist_ok=True)
            keep_log.write_bytes(log.read_bytes())
            where = f" The whole log: {keep_log}"
        raise TestbedError(f"{what} failed with status {status}. Its last lines:\n  " + "\n  ".join(tail) + where)
