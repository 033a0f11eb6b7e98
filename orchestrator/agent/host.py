# SPDX-License-Identifier: Apache-2.0
"""File access and commands on a testbed host, and its roles' network namespaces."""

import contextlib
import ctypes
import os
import re
import socket
import subprocess

PROTOCOL = 1
RUNTIME = "/run/orch"
NAMESPACES = "/run/netns"
RCU_IN_A_HURRY = {  # settings that shorten grace periods
    "/sys/kernel/rcu_expedited": "1",
    "/sys/module/rcutree/parameters/jiffies_till_first_fqs": "0",
    "/sys/module/rcutree/parameters/jiffies_till_next_fqs": "1",
}
CPUS = "/sys/devices/system/cpu"
CLONE_NEWNET = 0x40000000
MODULE = "/sys/module/wireguard"
LIBC = ctypes.CDLL(None, use_errno=True)


class AgentError(Exception):
    """A failure on this host; the message is a sentence for the controller."""


def read_text(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def write_text(path, text):
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise AgentError("%s cannot be set to %r: %s." % (path, text, error.strerror)) from error


def write_record(path, text):
    """Write a file of the agent's own: afterwards it has the whole text, or after an error what it had before.

    Raises OSError with the file's folder, for example on a full disk.
    """
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.path.dirname(path)) from error


def set_and_check(path, text):
    """Write a setting and verify it by reading it back. Raises AgentError."""
    write_text(path, text)
    found = read_text(path).strip()
    if found != text:
        raise AgentError("%s was set to %r and reads back %r." % (path, text, found))


def call(arguments, text=None, timeout=30):
    """Run a command and return its output. Raises AgentError with what it printed if it fails."""
    done = subprocess.run(
        arguments,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        close_fds=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().replace("\n", " | ")
        raise AgentError("`%s` failed with status %d: %s" % (" ".join(arguments), done.returncode, said[:500]))
    return done.stdout


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address):
    """Return an IPv4 or IPv6 address in the bytes that the kernel takes."""
    return socket.inet_pton(family_of(address), address)


def unpacked(data):
    """Return the bytes of an IPv4 or IPv6 address as text; hexadecimal if they are of another kind."""
    family = {4: socket.AF_INET, 16: socket.AF_INET6}.get(len(data))
    return "0x" + data.hex() if family is None else socket.inet_ntop(family, data)


def sysfs_of(role):
    return os.path.join(RUNTIME, "sys", role)


@contextlib.contextmanager
def inside(role):
    """Context manager that enters a role's network namespace; processes started inside stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(os.path.join(NAMESPACES, role), os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise AgentError("a network namespace cannot be entered: %s." % os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def short_grace_periods():
    """Context manager that expedites RCU while devices or modules are removed; never used while traffic runs.

    Their removal waits for several grace periods.
    """
    before = {path: read_text(path).strip() for path in RCU_IN_A_HURRY if os.path.exists(path)}
    try:
        for path in before:
            write_text(path, RCU_IN_A_HURRY[path])
        yield
    finally:
        for path, value in before.items():
            write_text(path, value)


def tool_version(arguments):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except OSError:
        return None
    return (done.stdout or done.stderr).strip().split("\n")[0]


def first_word(path):
    """Return the first word of a file, or None."""
    try:
        return (read_text(path).split() or [None])[0]
    except OSError:
        return None


def number_in(path):
    try:
        return int(read_text(path))
    except (OSError, ValueError):
        return None


def chosen_or_none(path):
    """Return the choice in brackets of a file that lists choices; None if there is no such file."""
    try:
        found = re.search(r"\[(\S+)\]", read_text(path))
    except OSError:
        return None
    return found.group(1) if found else None


def free_bytes(folder):
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
