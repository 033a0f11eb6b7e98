# SPDX-License-Identifier: Apache-2.0
"""Running a playbook on hosts with ansible-runner.

ansible-runner turns host key checking off, so we pass SSH arguments that pin the host keys. It writes the environment
into its artifacts; these are in a private folder that is removed afterwards. The user's Ansible settings, in
ansible.cfg or in the environment, are ignored. All other variables are kept, because OpenSSH's configuration may use
them (`${NAME}`).
"""

import base64
import contextlib
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.paths import PLAYBOOKS
from orchestrator.private import private_folder, socket_folder
from orchestrator.progress import Progress


@dataclass(frozen=True, slots=True)
class Target:
    """A host as Ansible reaches it: its name, login and OpenSSH options (already a safe argument list).

    ``destination``: the address for OpenSSH, by default the name; ``become``: how to become root, "none" if the login
    is root, else "sudo"; ``password``: for that; ``variables``: playbook variables of this host alone.
    """

    name: str
    user: str
    ssh_options: Sequence[str]
    destination: str = ""
    become: str = "none"
    password: str | None = field(default=None, repr=False)
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """The result of a playbook over all hosts: the number of tasks, and of those that changed something, and its
    duration in seconds."""

    tasks: int
    changed: int
    seconds: float
    changed_tasks: Sequence[str] = field(default_factory=tuple)


_SHARED = ("-o", "ControlMaster=auto", "-o", "ControlPersist=30")
_OF_OTHERS = ("ANSIBLE_", "PYTHON", "AWX_", "AD_HOC_", "RUNNER_")  # prefixes of the user's variables to leave out


def _settings(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_ROLES_PATH": str(PLAYBOOKS / "roles"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_RETRIES": "2",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(socket_folder()),
        "SSH_ASKPASS_REQUIRE": "never",
        "ANSIBLE_INTERPRETER_PYTHON": "/usr/bin/python3",
        "ANSIBLE_TIMEOUT": "30",
        "ANSIBLE_CALLBACK_PLUGINS": "",  # ansible-runner sets both itself
        "ANSIBLE_STDOUT_CALLBACK": "",
    }


def _without_the_users(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that ansible-runner derived from ours, without the user's settings for Ansible and
    Python."""
    return {
        name: value
        for name, value in environment.items()
        if name in settings or not name.startswith(_OF_OTHERS) or os.environ.get(name) != value
    }


def _literal(text: str) -> str:
    """Return a template whose value is a text, of which Ansible expands nothing."""
    return f"{{{{ '{base64.b64encode(text.encode(errors='surrogateescape')).decode()}' | b64decode }}}}"


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[Callable[[], bool]]:
    """Context manager whose value is a function that returns True once a signal has arrived that ends this program.

    The signal is handled after the block; a second one immediately. ansible-runner must end Ansible first, and would
    permanently replace our signal handlers with its own.
    """
    came: list[int] = []
    before: dict[int, Callable[[int, Any], Any]] = {}
    if threading.current_thread() is threading.main_thread():  # other threads may not set handlers, and get no signals
        found = {number: signal.getsignal(number) for number in _ENDING}
        before = {int(number): handler for number, handler in found.items() if callable(handler)}

    def note(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            before[number](number, frame)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if len(came) == 1:
            before[came[0]](came[0], None)


def _end_all(folder: Path) -> None:
    """Kill the processes that Ansible started with this folder in their environment: its workers, which have sessions
    of their own, and their commands."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's process, or one that has just ended
            if os.fsencode(folder) in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


def run_playbook(
    playbook: str,
    targets: Sequence[Target],
    variables: Mapping[str, Any],
    progress: Progress,
    *,
    timeout_s: float = 900,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> PlaybookResult:
    """Run ``playbooks/<playbook>.yml`` on the targets and return what it did. Raises TestbedError with the host, the
    task and its message if it fails.

    A signal that ends this program ends Ansible first, within a few seconds; so does ``is_interrupted``.
    """
    import ansible_runner

    failures: list[str] = []
    changed: list[str] = []
    tasks = 0

    def on_event(event: dict[str, Any]) -> bool:
        nonlocal tasks
        data = event.get("event_data", {})
        kind, task, host = event.get("event"), data.get("task", ""), data.get("host", "")
        if kind == "playbook_on_task_start":
            progress.detail(task)
        elif kind == "runner_on_ok":
            tasks += 1
            if data.get("res", {}).get("changed"):
                changed.append(f"{host}: {task}")
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            result = data.get("res", {})
            said = result.get("stderr") or result.get("msg") or result.get("stdout") or "no message"
            failures.append(f"{host}, task {task!r}: {str(said).strip()[-400:]}")
        return False  # keep nothing in the artifacts

    with private_folder("ansible") as private, _ended_by_signals() as is_ended:
        folder, settings = private.path, _settings(private.path)
        (folder / "ansible.cfg").touch()  # so that no ansible.cfg of the user is read
        hosts = {
            target.name: {
                "ansible_host": target.destination or target.name,
                "ansible_user": target.user,
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_become": target.become != "none",
                **({"ansible_become_method": target.become} if target.become != "none" else {}),
                **({"ansible_become_password": _literal(target.password)} if target.password else {}),
                # ansible-runner switches host key checking off; these arguments come first and win.
                "ansible_ssh_args": shlex.join([*target.ssh_options, *_SHARED]),
                **json.loads(json.dumps(dict(target.variables))),
            }
            for target in targets
        }
        began = time.monotonic()
        result = ansible_runner.interface.init_runner(
            private_data_dir=str(folder),
            project_dir=os.getcwd(),  # paths in OpenSSH's options are relative to the user's working directory
            playbook=str(PLAYBOOKS / f"{playbook}.yml"),
            inventory={"testbed": {"hosts": hosts}},
            extravars=json.loads(json.dumps(dict(variables))),
            envvars=settings,
            event_handler=on_event,
            cancel_callback=lambda: is_ended() or is_interrupted(),
            quiet=True,
            settings={
                "suppress_env_files": True,
                "job_timeout": int(timeout_s),
                "idle_timeout": int(timeout_s),
            },
        )
        result.config.env = _without_the_users(result.config.env, settings)
        try:
            result.run()
        finally:
            if is_ended() or is_interrupted():
                _end_all(folder)
        output = "" if failures else result.stdout.read()[-600:] if result.status != "successful" else ""
    if result.status == "canceled":
        raise TestbedError(f"Provisioning ({playbook}) was interrupted.")
    if result.status != "successful":
        what = "; ".join(failures) or f"it ended as {result.status}: {output.strip()}"
        raise TestbedError(f"Provisioning ({playbook}) failed: {what}")
    return PlaybookResult(tasks, len(changed), time.monotonic() - began, tuple(changed))
