# SPDX-License-Identifier: Apache-2.0
"""The launcher, run for real in a separate checkout, with programs on the PATH that only record their use."""

import contextlib
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT

PACKAGES = "orchestrator/doctor/system-packages.txt"
REAL = [
    "awk",
    "cat",
    "chmod",
    "cp",
    "cut",
    "dirname",
    "env",
    "flock",
    "ln",
    "mkdir",
    "mktemp",
    "mv",
    "printf",
    "readlink",
    "rm",
    "sh",
    "sha256sum",
    "sleep",
    "stat",
    "tail",
    "touch",
]

PYTHON = r"""#!/bin/sh
[ ! -d /proc/self/fd/0 ] || exit 1 # Python does not start either
echo "python $*" >>"$LOG"
echo "set PYTHONHOME=${PYTHONHOME:-} PIP_USER=${PIP_USER:-} PIP_INDEX_URL=${PIP_INDEX_URL:-}" \
    "PIP_CONFIG_FILE=${PIP_CONFIG_FILE:-} JUPYTER_PATH=${JUPYTER_PATH:-} for $*" >>"$LOG"
case "$*" in
    *version_info*) [ -z "${FOREIGN:-}" ] ;;
    --version) echo Python 3.9.1 ;;
    "-S -c ") case ${PYTHONUTF8:-0} in 0 | 1) ;; *) exit 1 ;; esac ;;
    *"pip config list") echo "${SETTINGS_OF_PIP:-}" ;;
    *ensurepip*) [ -e "$STATE/has-venv" ] && echo "$0" ;;
    "-m venv "*)
        sleep "${SLOW:-0}"
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        printf '#!/bin/sh\necho "uv $*" >>"$LOG"\nexit %s\n' "${STATUS_OF_UV:-0}" >"$3/bin/uv"
        chmod +x "$3/bin/uv"
        ;;
    *--editable*)
        [ -z "${NO_NETWORK:-}" ] || { echo "no route to the index"; exit 1; }
        printf '#!/bin/sh\nprintf "<%%s>" "$@"\n' >"${0%/*}/orch"
        chmod +x "${0%/*}/orch"
        ;;
    *argv*) exec REAL_PYTHON "$@" ;;
    */bin/orch*) shift && printf "<%s>" "$@" ;;
esac
"""
APT = r"""#!/bin/sh
echo "apt-get $*" >>"$LOG"
case "$*" in
    *update*) touch "$STATE/lists"; exit 100 ;; # a foreign source does not answer
    *install*)
        [ -e "$STATE/lists" ] || { echo "E: Unable to locate package"; exit 100; }
        [ ! -e "$STATE/gone" ] || { echo "E: gone"; exit 100; }
        touch "$STATE/has-venv"
        ;;
esac
"""


@dataclass
class Computer:
    """A small computer: a checkout, a PATH, a home, and a log of the calls."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def program(self, name: str, text: str) -> None:
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def command(self, *arguments: str, **environment: str) -> tuple[list[str], dict[str, str]]:
        return [str(self.checkout / "orch"), *arguments], {**self.environment, **environment}

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        command, env = self.command(*arguments, **environment)
        return subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )

    def calls(self, begin: str) -> list[str]:
        log = self.root / "log"
        return [line for line in log.read_text().splitlines() if line.startswith(begin)] if log.exists() else []


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    made = Computer(tmp_path)
    for folder in ((made.checkout / PACKAGES).parent, made.bin, tmp_path / "state", tmp_path / "home"):
        folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "orch", made.checkout)
    (made.checkout / "requirements.lock").write_text(
        "thing==1 \\\n    --hash=sha256:1\nuv==2 \\\n    --hash=sha256:2\n"
    )
    (made.checkout / PACKAGES).write_text(
        "# a comment\npython3-venv - environment\nalpha alpha run\nbeta /nowhere/beta.* build\ngamma gamma test\n"
    )
    for name in REAL:
        (made.bin / name).symlink_to(shutil.which(name) or name)
    made.program("uname", "#!/bin/sh\necho Linux x86_64\n")
    made.program("id", "#!/bin/sh\necho 1000\n")
    made.program("python3", PYTHON.replace("REAL_PYTHON", sys.executable))
    made.program("apt-get", APT)
    made.program("sudo", '#!/bin/sh\necho "sudo $*" >>"$LOG"\n[ "$1" = -n ] && shift\nexec "$@"\n')
    (tmp_path / "state" / "has-venv").touch()
    made.environment = {
        "PATH": str(made.bin),
        "HOME": str(tmp_path / "home"),
        "LOG": str(tmp_path / "log"),
        "STATE": str(tmp_path / "state"),
    }
    return made


def test_a_shell_that_completes_a_line_makes_nothing(computer: Computer) -> None:
    done = computer.run("run", _ORCH_COMPLETE="complete_bash")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (computer.checkout / ".venv").exists()
    assert computer.calls("sudo") == []


def test_the_first_start_makes_the_environment_and_hands_over(computer: Computer) -> None:
    first = computer.run("plan", "a b", "", "--set", "x=*")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "<plan><a b><><--set><x=*>"
    (uv,) = computer.calls("uv")
    assert "--require-hashes" in uv
    assert "--no-config" in uv
    assert "--no-deps" in uv
    assert not computer.calls("apt-get")  # `plan` needs no lab
    calls = len(computer.calls(""))
    again = computer.run("plan")
    assert (again.stdout, again.stderr) == ("<plan>", "")
    assert len(computer.calls("")) == calls


def test_a_warm_start_costs_less_than_a_tenth_of_a_second(computer: Computer) -> None:
    computer.run("plan")
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        computer.run("run")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.1  # of processor time: other programs may keep the computer busy


@pytest.mark.parametrize("system", ["Darwin arm64", "Linux aarch64"])
def test_another_kind_of_computer_gets_a_sentence(computer: Computer, system: str) -> None:
    computer.program("uname", f"#!/bin/sh\necho {system}\n")
    done = computer.run("plan")
    assert done.returncode == 3
    assert f"this computer is {system}, and the lab needs Linux on x86-64" in done.stderr


def test_a_python_of_another_version_gets_a_sentence(computer: Computer) -> None:
    done = computer.run("plan", FOREIGN="1")
    assert done.returncode == 3
    assert "Python 3.9.1 is not one that the project runs on" in done.stderr


def test_without_python_and_without_apt_get_there_is_a_sentence(computer: Computer) -> None:
    (computer.bin / "python3").unlink()
    (computer.bin / "apt-get").unlink()
    done = computer.run("plan")
    assert done.returncode == 3
    assert "Install Python 3.11, 3.12 or 3.13" in done.stderr


def test_a_changed_lock_makes_a_new_environment_and_the_old_one_stays_for_who_uses_it(computer: Computer) -> None:
    computer.run("plan")
    old = (computer.checkout / ".venv").resolve()
    with (computer.checkout / "requirements.lock").open("a") as file:
        file.write("more==1\n")
    assert computer.run("plan").returncode == 0
    new = (computer.checkout / ".venv").resolve()
    assert new != old
    assert old.is_dir()
    assert len(computer.calls("python -m venv")) == 2
    with (computer.checkout / "requirements.lock").open("a") as file:
        file.write("still-more==1\n")
    computer.run("plan")
    assert not old.exists()
    assert new.is_dir()


def test_a_checkout_that_moved_gets_an_environment_for_its_new_place(computer: Computer) -> None:
    computer.run("plan")
    moved = computer.root / "moved"
    computer.checkout.rename(moved)
    command, environment = computer.command("plan")
    done = subprocess.run([str(moved / "orch"), *command[1:]], env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert len(computer.calls("python -m venv")) == 2


def test_two_launchers_at_once_make_one_environment(computer: Computer) -> None:
    command, environment = computer.command("plan", SLOW="0.3")
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "ab"]
    said = [process.communicate(timeout=120) for process in both]
    assert [out for out, _ in said] == [b"<plan>", b"<plan>"]
    assert len(computer.calls("python -m venv")) == 1
    assert sum(b"waiting for another launcher" in errors for _, errors in said) == 1


def test_a_file_system_without_locks_is_no_obstacle(computer: Computer) -> None:
    computer.program("flock", "#!/bin/sh\necho 'flock: 9: Function not implemented' >&2\nexit 71\n")
    done = computer.run("plan")
    assert (done.returncode, done.stdout) == (0, "<plan>")
    assert "waiting" not in done.stderr
    assert "flock" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_launcher_leaves_no_half_environment(computer: Computer, how: signal.Signals) -> None:
    command, environment = computer.command("plan", SLOW="0.5")
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not computer.calls("python -m venv") and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, how)
    assert process.wait(60) != 0
    assert not (computer.checkout / ".venv").exists()
    assert computer.run("plan").stdout == "<plan>"
    assert len(list((computer.checkout / ".venvs").iterdir())) == 1


def test_an_environment_that_cannot_be_made_says_why(computer: Computer) -> None:
    done = computer.run("plan", NO_NETWORK="1")
    assert done.returncode == 3
    assert "no route to the index" in done.stderr
    assert "could not be made" in done.stderr
    assert not (computer.checkout / ".venv").exists()


def test_pip_takes_over_where_uv_cannot_reach_the_index(computer: Computer) -> None:
    done = computer.run("plan", STATUS_OF_UV="2")
    assert done.returncode == 0, done.stderr
    assert len(computer.calls("uv")) == 2
    assert any("requirements.lock" in call for call in computer.calls("python -m pip"))


@pytest.mark.parametrize("name", ["a:b", "a\nb"])
def test_a_path_with_which_python_makes_no_environment_is_told(computer: Computer, name: str) -> None:
    computer.checkout.rename(computer.root / name)
    command, environment = computer.command("plan")
    command[0] = str(computer.root / name / "orch")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"the path {computer.root / name} has a colon or the end of a line in it" in done.stderr
    assert not (computer.root / name / ".venvs").exists()


def test_a_path_that_is_not_utf_8_is_told(computer: Computer) -> None:
    made = computer.checkout.rename(computer.root / "caf\udce9")
    command, environment = computer.command("plan", LC_ALL="C")
    command[0] = str(made / "orch")
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, b"is not UTF-8" in done.stderr) == (3, True)
    assert not (made / ".venvs").exists()


@pytest.mark.parametrize("name", ["a b,c'd\"#é%n(1)&;[x]*?!~`\\|<>", "a{b}c{}d$HOME e"])
def test_any_other_path_is_good_for_an_environment(computer: Computer, name: str) -> None:
    made = computer.checkout.rename(computer.root / name)
    command, environment = computer.command("plan", "a b")
    command[0] = str(made / "orch")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "<plan><a b>"), done.stderr
    (install,) = (call for call in computer.calls("python") if call.endswith(f"--editable {made}"))
    assert "--no-index" in install
    assert (made / ".venv" / "stamp").exists()


def test_a_folder_of_someone_else_is_not_touched(computer: Computer) -> None:
    (computer.checkout / ".venv").mkdir()
    done = computer.run("plan")
    assert done.returncode == 3
    assert "Move it away" in done.stderr


def test_missing_packages_are_named_where_nobody_can_be_asked(computer: Computer) -> None:
    done = computer.run("run", "x.yaml")
    assert done.returncode == 3
    assert "sudo apt-get install alpha beta" in done.stderr
    assert "--yes" in done.stderr
    assert not computer.calls("sudo")


@pytest.mark.parametrize(("arguments", "ci"), [(("run", "--yes"), ""), (("test",), "true")])
def test_missing_packages_are_installed_when_that_is_allowed(
    computer: Computer, arguments: tuple[str, ...], ci: str
) -> None:
    done = computer.run(*arguments, CI=ci)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"<{argument}>" for argument in arguments)
    assert all(call.startswith("sudo -n env ") for call in computer.calls("sudo"))
    # The lists are fetched when an installation without them fails; a source that does not answer is no obstacle.
    calls = computer.calls("apt-get")
    assert [("update" in call, "alpha beta" in call) for call in calls[:3]] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert [call.endswith("install gamma") for call in calls[3:]] == [True] * ("test" in arguments)


def test_without_what_only_tests_need_the_tests_run_but_in_ci(computer: Computer) -> None:
    for name in ("alpha", "beta"):
        computer.program(name, "#!/bin/sh\n")
    (computer.checkout / PACKAGES).write_text("alpha alpha run\ngamma gamma test\n")
    (computer.root / "state" / "gone").touch()
    assert computer.run("test").stdout == "<test>"
    assert not computer.calls("apt-get")  # nobody allowed it
    done = computer.run("test", "--yes")
    assert (done.returncode, done.stdout) == (0, "<test><--yes>")
    assert "the tests that need gamma are left out" in done.stderr
    done = computer.run("test", CI="true")
    assert (done.returncode, done.stdout) == (3, "")
    assert computer.run("run", CI="true").stdout == "<run>"


def test_what_only_the_full_tests_need_is_installed_for_them_alone(computer: Computer) -> None:
    (computer.checkout / PACKAGES).write_text("gamma gamma test\ndelta delta full\n")
    computer.program("gamma", "#!/bin/sh\n")
    for arguments, installed in ((("test",), False), (("run", "--full"), False), (("test", "--full"), True)):
        computer.run(*arguments, CI="true")
        assert any("delta" in call for call in computer.calls("apt-get")) == installed


def test_what_only_a_build_needs_is_not_asked_for_where_a_lab_came_ready_made(computer: Computer) -> None:
    for product in ("lab-kernel", "lab-disk"):  # an archive has no more
        folder = computer.root / "home" / ".cache" / "orch" / product / "0123"
        folder.mkdir(parents=True)
        (folder / "product.json").touch()
    done = computer.run("run")
    assert "apt-get install alpha\n" in done.stderr


def test_root_needs_no_sudo_and_python3_venv_comes_along(computer: Computer) -> None:
    computer.program("id", "#!/bin/sh\necho 0\n")
    (computer.root / "state" / "has-venv").unlink()
    (computer.root / "state" / "lists").touch()
    done = computer.run("run")
    assert done.returncode == 0, done.stderr
    assert not computer.calls("sudo")
    (call,) = computer.calls("apt-get")
    assert call.endswith("install python3-venv alpha beta")


def test_packages_that_cannot_be_had_stop_it_with_apt_gets_words(computer: Computer) -> None:
    (computer.root / "state" / "gone").touch()
    done = computer.run("run", "--yes")
    assert done.returncode == 3
    assert "E: gone" in done.stderr


def test_the_link_on_the_path(computer: Computer) -> None:
    link = computer.root / "home" / ".local" / "bin" / "orch"
    link.parent.mkdir(parents=True)
    link.symlink_to(computer.root / "gone")
    first = computer.run("plan")
    assert link.resolve() == computer.checkout / "orch"
    assert "not on your PATH yet" in first.stderr
    done = subprocess.run([str(link), "a"], env=computer.environment, cwd="/", capture_output=True, check=True)
    assert done.stdout == b"<a>"


def test_something_else_of_that_name_stays(computer: Computer) -> None:
    link = computer.root / "home" / ".local" / "bin" / "orch"
    link.parent.mkdir(parents=True)
    link.write_text("mine")
    done = computer.run("plan")
    assert done.returncode == 0
    assert link.read_text() == "mine"
    assert "stays as it is" in done.stderr


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 3), (b"\n", 3)])
def test_on_a_terminal_it_asks_before_sudo(computer: Computer, answer: bytes, status: int) -> None:
    command, environment = computer.command("run")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 1000)
    assert b"alpha beta" in said
    os.write(ours, answer)
    with contextlib.suppress(OSError):  # the terminal is gone when the launcher is
        while more := os.read(ours, 1000):
            said += more
    assert process.wait(60) == status
    os.close(ours)
    assert (b"nothing was installed" in said) == (status == 3)
    assert all(call.startswith("sudo env ") for call in computer.calls("sudo"))
    assert bool(computer.calls("sudo")) == (status == 0)


def test_settings_for_other_environments_do_not_reach_this_one_and_ways_to_an_index_do(computer: Computer) -> None:
    theirs = {"PYTHONHOME": "/usr", "PYTHONPATH": "/x", "PIP_USER": "1", "PIP_TARGET": "/y", "JUPYTER_PATH": "/z"}
    settings = "global.user='true'\nglobal.target='/y'\nglobal.index-url='https://mirror.example/simple'"
    done = computer.run("plan", SETTINGS_OF_PIP=settings, **theirs)
    assert done.returncode == 0, done.stderr
    (installed,) = [line for line in computer.calls("set") if "uv.lock" in line]
    assert installed.startswith(
        "set PYTHONHOME= PIP_USER= PIP_INDEX_URL=https://mirror.example/simple PIP_CONFIG_FILE=/dev/null JUPYTER_PATH= "
    )
    assert not any("PYTHONHOME=/usr" in line or "PIP_USER=1" in line for line in computer.calls("set"))


def test_an_encoding_that_python_does_not_know_is_ignored_and_told(computer: Computer) -> None:
    done = computer.run("list", PYTHONUTF8="7", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "<list>")
    assert "orch: PYTHONIOENCODING and PYTHONUTF8 are ignored" in done.stderr
    assert "ignored" not in computer.run("list", PYTHONUTF8="1").stderr


def test_the_caller_s_own_index_goes_before_that_of_the_settings(computer: Computer) -> None:
    settings = "install.index-url='https://mirror.example/simple'"
    computer.run("plan", SETTINGS_OF_PIP=settings, PIP_INDEX_URL="https://nearer.example/simple")
    (installed,) = [line for line in computer.calls("set") if "uv.lock" in line]
    assert "PIP_INDEX_URL=https://nearer.example/simple" in installed


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "</"])
def test_closed_streams_do_no_harm(computer: Computer, closed: str) -> None:
    command, environment = computer.command("plan")
    shell = ["sh", "-c", f'"$@" {closed}', "sh", *command]
    assert subprocess.run(shell, env=environment, capture_output=True, check=False).returncode == 0


def test_an_environment_that_another_user_cannot_make_is_a_sentence(computer: Computer) -> None:
    (computer.checkout / ".venvs").write_text("in the way of a folder, also for root")
    done = computer.run("plan")
    assert done.returncode == 3
    assert "as the user to whom the checkout belongs" in done.stderr


def test_an_interpreter_that_this_user_may_not_execute_is_named(computer: Computer) -> None:
    assert computer.run("plan").returncode == 0
    made = (computer.checkout / ".venv").resolve()
    elsewhere = made.rename(computer.root / "made")
    (computer.checkout / ".venv").unlink()
    (computer.checkout / ".venv").symlink_to(elsewhere)
    shutil.rmtree(computer.checkout / ".venvs")
    (computer.checkout / ".venvs").write_text("in the way of a folder, also for root")
    assert computer.run("plan").returncode == 0
    (elsewhere / "pyvenv.cfg").write_text("home = /root/of another/bin\nversion = 3.11.2\n")
    (elsewhere / "bin" / "python").chmod(0o644)
    done = computer.run("plan")
    assert done.returncode == 3
    assert "environment is in /root/of another/bin, where you may not execute it" in done.stderr
    assert done.stderr.count("\n") == 1
