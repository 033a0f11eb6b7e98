# SPDX-License-Identifier: Apache-2.0
"""The controller's side of a lab: starting its keeper, sending it requests, and reaching machines through it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.private import lab_base
from orchestrator.testbed.lab.login import LabLogin

KEEPER = Path(__file__).with_name("keeper.py")
PASS_SOCKET = Path(__file__).with_name("pass_socket.py")
SSH_PORT = 22
MANAGEMENT = "lab"  # the bridge over which machines are reached, as in keeper.py


def address_of(number: int) -> str:
    """Return the address of a machine in the lab's network, as the keeper assigns it."""
    return f"192.0.2.{10 + number}"


class Lab:
    """A lab: namespaces of its own, held by a keeper that ends with this process unless it is detached."""

    def __init__(self, folder: Path, keeper: "subprocess.Popen[bytes] | None") -> None:
        self.folder = folder
        self._keeper = keeper

    # --- beginning and end ---

    @classmethod
    def start(cls, *, detached_in: Path | None = None) -> "Lab":
        """Start a keeper. ``detached_in``: the folder of a lab that outlives this process; without it, the lab ends
        with this process."""
        if detached_in is None:
            folder = Path(tempfile.mkdtemp(prefix="orch-lab-", dir=lab_base()))
        else:
            folder = detached_in
            folder.mkdir(mode=0o700)
        try:
            _make_keys(folder)
            keeper = _start_keeper(folder, lifeline=detached_in is None)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, keeper)

    def close(self) -> None:
        """End every process of the lab and remove its folder."""
        with contextlib.suppress(TestbedError):
            self.request("quit")
        if self._keeper is not None:
            if self._keeper.stdin:
                self._keeper.stdin.close()
            try:
                self._keeper.wait(5)
            except subprocess.TimeoutExpired:
                self._keeper.kill()
                self._keeper.wait()
        else:
            deadline = time.monotonic() + 5
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_alive(self) -> bool:
        """Return whether the keeper answers."""
        try:
            self.request("status")
        except TestbedError:
            return False
        return True

    # --- requests ---

    def request(self, operation: str, timeout_s: float = 30, **arguments: Any) -> dict[str, Any]:
        """Send the keeper a request and return its answer. Raises TestbedError with its error message."""
        return self._exchange(operation, timeout_s, arguments)[0]

    def _exchange(
        self, operation: str, timeout_s: float, arguments: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[int]]:
        descriptors: list[int] = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self.folder / "control"))
                connection.sendall(json.dumps({"op": operation, **arguments}).encode() + b"\n")
                data = b""
                while not data.endswith(b"\n"):
                    more, received, _, _ = socket.recv_fds(connection, 65536, 1)
                    descriptors += received
                    if not more:
                        break
                    data += more
        except OSError as error:
            raise TestbedError(
                f"The lab's keeper does not answer to {operation!r} ({error}); the lab is gone."
            ) from error
        answer = json.loads(data or b'{"error": "the keeper closed the connection"}')
        if "error" in answer:
            raise TestbedError(f"The lab cannot {operation}: {answer['error']}.")
        return answer, descriptors

    def connect(self, name: str, timeout_s: float = 5, port: int = SSH_PORT) -> socket.socket:
        """Return a socket in the lab's network that is connected to a machine."""
        _, descriptors = self._exchange("connect", timeout_s + 5, {"name": name, "port": port, "timeout_s": timeout_s})
        if not descriptors:
            raise TestbedError(f"The lab's keeper gave no socket for the machine {name}.")
        return socket.socket(fileno=descriptors[0])

    # --- machines ---

    def start_program(
        self, name: str, number: int, program: Path, arguments: Sequence[str], ports: Sequence[tuple[str, str, int]]
    ) -> str:
        """Start a machine's program with ports in the lab's network, and return its address there.

        ``ports``: the kind (veth or tap), bridge and number of queues of each; port i is the device nic<number>.<i>.
        """
        described = [{"kind": kind, "bridge": bridge, "queues": queues} for kind, bridge, queues in ports]
        answer = self.request(
            "start", name=name, number=number, program=str(program), arguments=list(arguments), ports=described
        )
        return str(answer["address"])

    def console(self, name: str) -> str:
        """Return what a machine has printed on its console so far."""
        try:
            return (self.folder / f"{name}.console").read_text(errors="replace")
        except OSError:
            return ""

    def exit_status(self, name: str) -> int | None:
        """Return the exit status of a machine's program, negative for a signal; None if it runs or is not known."""
        try:
            status: int | None = self.request("status")["machines"][name].get("exit_status")
        except (TestbedError, KeyError):
            return None
        return status  # a standing lab of an older version does not know it

    def wait_for_ssh(self, name: str, timeout_s: float) -> None:
        """Return once the machine's sshd answers. Raises TestbedError with the end of the console if it does not."""
        deadline = time.monotonic() + timeout_s
        said: Exception | str = "nothing listens"
        while time.monotonic() < deadline:
            try:
                with self.connect(name, timeout_s=1) as connection:
                    connection.settimeout(max(0.1, deadline - time.monotonic()))
                    if connection.recv(4) == b"SSH-":
                        return
            except (TestbedError, OSError) as error:
                said = error
                if "has ended" in str(error):
                    break
            time.sleep(0.02)
        tail = "\n  ".join(self.console(name).splitlines()[-15:])
        raise TestbedError(f"The lab machine {name} did not start ({said}). The end of its console:\n  {tail}")

    # --- SSH ---

    @property
    def key_file(self) -> Path:
        """The private key that opens this lab's machines. It is created for the lab and removed with it."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The file with the pinned host key that all machines of this lab share."""
        return self.folder / "known_hosts"

    def proxy_command(self) -> str:
        """Return the command by which OpenSSH obtains a connected socket (with ProxyUseFdpass)."""
        return f"{sys.executable} -I -S {PASS_SOCKET} {self.folder / 'control'} %h {SSH_PORT}"

    def login(self, name: str) -> LabLogin:
        """Return a login to a machine from this process."""
        return LabLogin(
            name,
            "lab",
            "root",
            self.known_hosts,
            lambda: self.connect(name),
            self.key_file,
            console=lambda: self.console(name),
            exit_status=lambda: self.exit_status(name),
        )

    def ssh_options(self) -> list[str]:
        """Return options for OpenSSH: pinned host key, this lab's key only, and no questions."""
        settings = {
            "ProxyCommand": self.proxy_command(),
            "ProxyUseFdpass": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": "lab",
            "StrictHostKeyChecking": "yes",
            "IdentityFile": str(self.key_file),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "ServerAliveInterval": "10",
            "LogLevel": "ERROR",
        }
        return [
            "-F",
            "none",
            *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")),
        ]


def _make_keys(folder: Path) -> None:
    """Create the lab's key and its machines' host key, and a tar file of the parts that a machine needs."""
    for name in ("key", "host_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "orch-lab", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    public = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"lab {public[0]} {public[1]}\n")
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    with tarfile.open(folder / "keys.tar", "w") as tar:
        for name in ("host_key", "host_key.pub", "authorized_keys"):
            tar.add(folder / name, name)
    (folder / "host_key").unlink()


def own_namespaces() -> Sequence[str]:
    """Return the command prefix that runs a lab's command in namespaces of its own."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return (
        "unshare",
        *user,
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    )


def _start_keeper(folder: Path, *, lifeline: bool) -> "subprocess.Popen[bytes] | None":
    # -S and -I: neither the environment nor site-packages can change what PID 1 does.
    command = [*own_namespaces(), sys.executable, "-I", "-S", str(KEEPER), str(folder)]
    errors = (folder / "keeper.log").open("wb")
    process = subprocess.Popen(
        [*command, "lifeline" if lifeline else "detached"],
        stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        start_new_session=True,
    )
    errors.close()
    deadline = time.monotonic() + 20
    while not (folder / "control").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = (folder / "keeper.log").read_text(errors="replace").strip() or "no message"
            if "unshare:" in said:
                said = f"its namespaces cannot be made: {said}. User namespaces may be switched off on this computer"
            raise TestbedError(f"The lab cannot be started: {said}. `orch doctor` says what is missing.")
        time.sleep(0.01)
    return process
