# SPDX-License-Identifier: Apache-2.0
"""A real SSH server on loopback, and a home folder from which `ssh` reads its configuration and keys."""

import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import textwrap
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PACKAGES = ("openssh-server", "libwrap0")
_SSHD = "usr/sbin/sshd"


def find_sshd(unpacked: Path) -> Path | None:
    """Return the root of the file system, or a folder, that contains sshd.

    If it is not installed, Debian's packages are fetched and unpacked into ``unpacked``: an installed one would run as
    a service of this computer.
    """
    for root in (Path("/"), unpacked):
        if (root / _SSHD).exists():
            return root
    try:
        subprocess.run(["apt-get", "download", *_PACKAGES], cwd=unpacked, check=True, capture_output=True)
        for package in unpacked.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return unpacked if (unpacked / _SSHD).exists() else None


def make_key(file: Path, *more: str) -> Path:
    """Create a private key without a passphrase, with its public half next to it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file, *more], check=True)
    return file


def fingerprint_of(file: Path) -> str:
    """Return the fingerprint (SHA256:...) of a public key, or of the public half of a private one."""
    public = file if file.suffix == ".pub" else Path(f"{file}.pub")
    said = subprocess.run(["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


class Server:
    """An sshd on a free port of 127.0.0.1 and ::1 that accepts the user who started it."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self._root = folder, root
        self.authorized = folder / "authorized_keys"
        self.authorized.touch()
        self.host_key = make_key(folder / "host_key")
        make_key(folder / "authority")
        self.port = _free_port()
        self._log = folder / "log"
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = self.folder / "sshd_config"
        (self.folder / "banner").write_text("Authorized use only.\n" * 9)
        lines = f"""\
            Port {self.port}
            ListenAddress 127.0.0.1
            ListenAddress ::1
            HostKey {self.host_key}
            AuthorizedKeysFile {self.authorized}
            TrustedUserCAKeys {self.folder / "authority.pub"}
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin yes
            StrictModes no
            UsePAM no
            PidFile none
            LogLevel VERBOSE
            Banner {self.folder / "banner"}
            KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
            """
        settings.write_text(textwrap.dedent(lines))
        libraries = ":".join(map(str, self._root.glob("usr/lib/*-linux-gnu"))) if self._root != Path("/") else ""
        environment = {**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
        sshd = self._root / _SSHD
        for name, option in (("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")):
            if (self._root / "usr/lib/openssh" / name).exists():
                settings.write_text(f"{settings.read_text()}{option} {self._root / 'usr/lib/openssh' / name}\n")
        # Since 9.8, sshd blocks an address with failed logins for a while.
        exempt = ["-o", "PerSourcePenaltyExemptList=127.0.0.1,::1"]
        if subprocess.run([sshd, "-t", "-f", settings, *exempt], env=environment, capture_output=True).returncode:
            exempt = []
        command: Sequence[str | Path] = [sshd, "-D", "-e", "-f", settings, *exempt]
        if os.geteuid() == 0:
            command = ["unshare", "--mount", "sh", "-ec", _AS_ROOT, "sh", self.folder / "passwd", *command]
            accounts = Path("/etc/passwd").read_text()
            if "\nsshd:" not in accounts:
                accounts += "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin\n"
            (self.folder / "passwd").write_text(accounts)
        with self._log.open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return process
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"sshd does not start: {self._log.read_text()}") from None
                time.sleep(0.02)

    def accepted(self, since: int) -> list[str]:
        """Return the fingerprints of the keys, or certificates' keys, of the logins after a position in the log. sshd
        writes them a moment after the login."""
        deadline = time.monotonic() + 10
        while True:
            text = self._log.read_bytes()[since:].decode()
            begun, done = _ports(text, "Connection from"), _ports(text, "Accepted publickey")
            done |= _ports(
                text, "(?:Disconnected from|Connection closed by|Connection reset by|Unable to negotiate with)"
            )
            if begun <= done or time.monotonic() > deadline:
                return re.findall(r"^Accepted publickey .*?(SHA256:\S+)", text, re.MULTILINE)
            time.sleep(0.02)

    def log_size(self) -> int:
        """Return the current position in the log, for `accepted`."""
        return self._log.stat().st_size

    def host_line(self, *names: str) -> str:
        """Return a line for known_hosts."""
        return f"{','.join(names)} {' '.join(Path(f'{self.host_key}.pub').read_text().split()[:2])}\n"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


# sshd needs its own account and folder: it gets them in a mount namespace, without changes to this computer.
_AS_ROOT = """\
passwd=$1
shift
mount --bind "$passwd" /etc/passwd
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
exec "$@"
"""


def _ports(log: str, begin: str) -> set[str]:
    """The clients' ports in the lines of the log that begin so."""
    return set(re.findall(rf"^{begin} .*? port (\d+)", log, re.MULTILINE))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


_HOME_C = """\
#include <pwd.h>
#include <stdlib.h>
#include <sys/types.h>
#include <dlfcn.h>
struct passwd *getpwuid(uid_t uid) {
    struct passwd *found = ((struct passwd *(*)(uid_t))dlsym(RTLD_NEXT, "getpwuid"))(uid);
    if (found && getenv("SSH_HOME")) found->pw_dir = getenv("SSH_HOME");
    return found;
}
"""


@dataclass
class Home:
    """A home folder, and a folder for PATH with an `ssh` that uses it. OpenSSH asks the system for a user's home folder
    and ignores HOME, so a preloaded library answers instead."""

    folder: Path
    programs: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, programs: Path) -> "Home":
        (folder / ".ssh").mkdir(parents=True, mode=0o700)
        return cls(folder, programs)

    @property
    def ssh(self) -> Path:
        return self.folder / ".ssh"

    @staticmethod
    def programs_in(folder: Path) -> Path:
        """Build the programs that `Home` needs in PATH, once. It needs a C compiler."""
        library = folder / "home.so"
        source = folder / "home.c"
        source.write_text(_HOME_C)
        subprocess.run(
            ["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True
        )
        real = shutil.which("ssh")
        wrapper = folder / "ssh"
        wrapper.write_text(f'#!/bin/sh\nLD_PRELOAD={library} SSH_HOME=$HOME exec {real} "$@"\n')
        wrapper.chmod(0o755)
        return folder


class Agent:
    """`ssh-agent`, with keys."""

    def __init__(self, at: Path, *keys: Path) -> None:
        self.socket = at
        self._process = subprocess.Popen(["ssh-agent", "-D", "-a", at], stdout=subprocess.DEVNULL)
        try:
            self._wait_and_add(keys)
        except BaseException:
            self.close()
            raise

    def _wait_and_add(self, keys: Sequence[Path]) -> None:
        deadline = time.monotonic() + 20
        with socket.socket(socket.AF_UNIX) as tried:
            while tried.connect_ex(str(self.socket)):
                assert time.monotonic() < deadline, "ssh-agent does not start"
                time.sleep(0.005)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(self.socket)}
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], env=environment, check=True, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


_IDENTITIES, _IDENTITIES_ANSWER, _SIGN, _FAILURE = 11, 12, 13, 5  # draft-miller-ssh-agent


class TokenAgent(socketserver.ThreadingUnixStreamServer):
    """An agent that first offers a key of a FIDO token that nobody touches, and then the keys of another agent."""

    daemon_threads = True

    def __init__(self, at: Path, behind: Path) -> None:
        token = _text(b"sk-ssh-ed25519@openssh.com") + _text(bytes(range(32))) + _text(b"ssh:")

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.socket(socket.AF_UNIX) as other:
                    other.connect(str(behind))
                    while request := _message(self.request):
                        if request[0] == _SIGN and request[5:].startswith(token):
                            self.request.sendall(_text(bytes([_FAILURE])))
                            continue
                        other.sendall(_text(request))
                        answer = _message(other)
                        if request[0] == _IDENTITIES:
                            (count,) = struct.unpack(">I", answer[1:5])
                            first = _text(token) + _text(b"a token")
                            answer = bytes([_IDENTITIES_ANSWER]) + struct.pack(">I", count + 1) + first + answer[5:]
                        self.request.sendall(_text(answer))

        super().__init__(str(at), Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _message(connection: socket.socket) -> bytes:
    """Return the next message; empty at the end."""
    size = connection.recv(4, socket.MSG_WAITALL)
    return connection.recv(struct.unpack(">I", size)[0], socket.MSG_WAITALL) if len(size) == 4 else b""
