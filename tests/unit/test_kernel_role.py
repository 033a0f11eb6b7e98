# SPDX-License-Identifier: Apache-2.0
"""The entry of a boot loader's menu that the role `kernel` chooses: its own tasks, on the text of a Debian menu."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from orchestrator.paths import PLAYBOOKS

OLD, NEW = "6.1.0-28-amd64", "6.12.48+deb13-amd64"
HEAD = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
"""
ENTRY = """\
menuentry 'Debian GNU/Linux TITLE' --class debian --class os $menuentry_id_option 'gnulinux-ID-0f0f-1' {
	insmod ext2
	linux	/boot/vmlinuz-RELEASE root=UUID=0f0f-1 ro  quiet
	initrd	/boot/initrd.img-RELEASE
}
"""


def entry(release: str, title: str, name: str) -> str:
    return ENTRY.replace("TITLE", title).replace("ID", name).replace("RELEASE", release)


def menu(*releases: str) -> str:
    """Return a menu as grub-mkconfig makes it; the first release is booted by default."""
    kinds = [(release, kind) for release in releases for kind in ("advanced", "recovery")]
    below = [entry(release, f"with Linux {release} ({kind})", f"{release}-{kind}") for release, kind in kinds]
    submenu = "submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-0f0f-1' {\n"
    return HEAD + entry(releases[0], "", "simple") + submenu + "".join(below) + "}\n"


def run_role(
    folder: Path, before: str, after: str, apt_cache_finds: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run the role's tasks for Debian with ``NEW`` wanted; tasks that would change the host write what they would do to
    files.

    ``apt_cache_finds``: whether the package that the role looks for exists.
    """
    role = PLAYBOOKS / "roles" / "kernel"
    (folder / "before").write_text(before)
    (folder / "after").write_text(after)
    tasks: list[dict[str, Any]] = yaml.safe_load((role / "tasks" / "debian.yml").read_text())
    menus = iter(("before", "after"))
    kept = [task for task in tasks if task["name"] != "Install the kernel"]
    for task in kept:
        if "ansible.builtin.slurp" in task:
            task["ansible.builtin.slurp"]["src"] = str(folder / next(menus))
        if "ansible.builtin.apt" in task:
            name = task.pop("ansible.builtin.apt")["name"]
            task["ansible.builtin.copy"] = {"content": name, "dest": str(folder / "installed"), "mode": "0644"}
        if task.get("ansible.builtin.command", {}).get("argv", [""])[0] == "apt-cache":
            task["ansible.builtin.command"]["argv"] = ["true" if apt_cache_finds else "false"]
        elif "ansible.builtin.command" in task:
            words = task.pop("ansible.builtin.command")["argv"]
            task["ansible.builtin.copy"] = {"content": "\n".join(words), "dest": str(folder / "chosen"), "mode": "0644"}
        for inner in task.get("block", ()):
            if "ansible.builtin.copy" in inner:
                copy = inner["ansible.builtin.copy"]
                inner["ansible.builtin.copy"] = {
                    "content": copy["content"],
                    "dest": str(folder / "kept"),
                    "mode": "0644",
                }
            else:
                inner["ansible.builtin.command"] = {"argv": ["true"]}
    variables = {**yaml.safe_load((role / "defaults" / "main.yml").read_text()), "orch_kernel_wanted": NEW}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": kept}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    command = [program, "--inventory", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_entry_is_chosen_and_an_older_default_stays(tmp_path: Path) -> None:
    done = run_role(tmp_path, menu(OLD), menu(NEW, OLD))
    assert done.returncode == 0, done.stdout
    chosen = f"gnulinux-advanced-0f0f-1>gnulinux-{NEW}-advanced-0f0f-1"
    assert (tmp_path / "chosen").read_text().splitlines() == ["grub-reboot", chosen]
    kept = (tmp_path / "kept").read_text().splitlines()
    assert kept[-1] == f'GRUB_DEFAULT="gnulinux-advanced-0f0f-1>gnulinux-{OLD}-advanced-0f0f-1"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (menu("6.16-amd64"), menu("6.16-amd64", NEW)),
        (menu(NEW, OLD).replace('"0"', '"x"'), menu(NEW).replace('"0"', '"x"')),
    ],
    ids=["it is not the newest", "the default is named already"],
)
def test_a_default_that_stays_by_itself_is_left_alone(tmp_path: Path, before: str, after: str) -> None:
    done = run_role(tmp_path, before, after)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "chosen").is_file()
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("there", [True, False])
def test_drivers_that_are_in_a_package_of_their_own_are_installed_too(tmp_path: Path, there: bool) -> None:
    done = run_role(tmp_path, menu(OLD), menu(NEW, OLD), apt_cache_finds=there)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "installed").exists() == there
    if there:
        assert (tmp_path / "installed").read_text() == f"linux-modules-extra-{NEW}"


def test_a_kernel_without_an_entry_is_told(tmp_path: Path) -> None:
    done = run_role(tmp_path, menu(OLD), menu(OLD))
    assert done.returncode != 0
    assert f"has no entry for {NEW}" in done.stdout


def test_a_default_by_its_place_is_noted_by_its_id_where_the_menu_grew(tmp_path: Path) -> None:
    older = "6.1.0-21-amd64"
    before, after = (menu(*releases).replace('"0"', '"1>2"') for releases in ((OLD, older), (NEW, OLD, older)))
    done = run_role(tmp_path, before, after)
    assert done.returncode == 0, done.stdout
    kept = (tmp_path / "kept").read_text().splitlines()
    assert kept[-1] == f'GRUB_DEFAULT="gnulinux-advanced-0f0f-1>gnulinux-{older}-advanced-0f0f-1"'


def templated(text: str, name: str, saved: str = "", release: str = "") -> Any:
    """Return a variable of the role's defaults, given the text of a menu. ``release``: of the wanted kernel."""
    loader = DataLoader()
    file = PLAYBOOKS / "roles" / "kernel" / "defaults" / "main.yml"
    variables = dict(loader.load_from_file(str(file), trusted_as_template=True))
    variables |= {"kernel_text": text, "kernel_saved": saved, "kernel_release": release}
    variables |= {"orch_kernel_wanted": release}
    return Templar(loader=loader, variables=variables).template(trust_as_template("{{ " + name + " }}"))


GRUBBY = """\
index=0
kernel="/boot/vmlinuz-6.99.1-200.fc99.x86_64"
args="ro rhgb quiet $tuned_params"
id="0123456789abcdef-6.99.1-200.fc99.x86_64"
"""


def test_an_entry_of_the_boot_loader_specification_is_chosen_by_its_id() -> None:
    tasks = yaml.safe_load((PLAYBOOKS / "roles" / "kernel" / "tasks" / "redhat.yml").read_text())
    said = tasks[-1]["ansible.builtin.command"]["argv"][1]
    variables = {"kernel_info": {"stdout": GRUBBY}}
    found = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(said))
    assert found == "0123456789abcdef-6.99.1-200.fc99.x86_64"


PACKAGES = [
    ("debian", "6.12.48+deb13-cloud-amd64", "linux-image-6.12.48+deb13-cloud-amd64"),
    ("redhat", "6.99.1-200.fc99.x86_64", "kernel-6.99.1-200.fc99.x86_64"),
    ("redhat", "5.14.0-599.el9_9.x86_64", "kernel-5.14.0-599.el9_9.x86_64"),
    ("redhat", "5.14.0-599.el9_9.x86_64+rt", "kernel-rt-5.14.0-599.el9_9.x86_64"),
    ("redhat", "6.99.1-200.fc99.aarch64+64k", "kernel-64k-6.99.1-200.fc99.aarch64"),
    ("redhat", "4.18.0-599.rt7.399.el8_9.x86_64", "kernel-rt-4.18.0-599.rt7.399.el8_9.x86_64"),
    ("redhat", "5.15.0-399.1.2.3.el9uek.x86_64", "kernel-uek-5.15.0-399.1.2.3.el9uek.x86_64"),
]


@pytest.mark.parametrize(("system", "release", "package"), PACKAGES)
def test_the_package_of_a_kernel_has_the_name_of_its_variant(system: str, release: str, package: str) -> None:
    assert templated("", f"kernel_package['{system}']", release=release) == package


MEMTEST = 'menuentry "Memory test (memtest86+)" {\n\tlinux16\t/boot/memtest86+.bin\n}\n'
OTHERS = """\
menuentry 'Other Linux 9 (on /dev/sdb1)' --class gnu-linux $menuentry_id_option 'osprober-gnulinux-simple-1a1a' {
	linux /boot/vmlinuz-5.14.0-9 root=/dev/sdb1
}
submenu 'Advanced options for Other Linux 9 (on /dev/sdb1)' $menuentry_id_option 'osprober-gnulinux-advanced-1a1a' {
	menuentry 'Other, RELEASE' --class os $menuentry_id_option 'osprober-gnulinux-/boot/vmlinuz-RELEASE--1a1a' {
		linux /boot/vmlinuz-RELEASE root=/dev/sdb1
	}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
"""
SYSTEMS = MEMTEST + OTHERS.replace("RELEASE", NEW)
DEFAULTS = [
    # (text before the menu, default entry, content of grubenv, kernel that is booted)
    ("", "0", "", NEW),
    ("", "1", "", NEW),
    ("", "1>0", "", NEW),
    ("", "1>2", "", OLD),
    ("", "1>9", "", NEW),  # a missing entry means the first
    ("", "gnulinux-advanced-0f0f-1>gone", "", NEW),
    ("", "gone>2", "", NEW),
    ("", "Debian GNU/Linux ", "", NEW),
    ("", f"gnulinux-advanced-0f0f-1>gnulinux-{OLD}-advanced-0f0f-1", "", OLD),
    ("", f"Advanced options for Debian GNU/Linux>Debian GNU/Linux with Linux {OLD} (recovery)", "", OLD),
    ("", "Advanced options for Debian GNU/Linux>2", "", OLD),
    (MEMTEST, "0", "", ""),
    (MEMTEST, "2>2", "", OLD),
    ('menuentry "Own" --id own {\n\tlinux /vmlinuz-5.99-own\n}\n', "own", "", "5.99-own"),
    ("menuentry 'Own' --id='my own' --class os {\n\tlinux /vmlinuz-5.99-own\n}\n", "my own", "", "5.99-own"),
    ('menuentry "Own" ${menuentry_id_option} "own" {\n\tlinux /vmlinuz-5.99-own\n}\n', "own", "", "5.99-own"),
    (SYSTEMS, "1", "", "5.14.0-9"),
    (SYSTEMS, "5>2", "", OLD),
    ("", "${saved_entry}", "x=1\nsaved_entry=1>2\n", OLD),
    ("", "${saved_entry}", "", NEW),
    ("", "${saved_entry}", "x=1\nsaved_entry=\n", NEW),
    (MEMTEST, "${saved_entry}", "", ""),
]


@pytest.mark.parametrize(("front", "default", "saved", "kernel"), DEFAULTS)
def test_the_default_of_a_menu_is_found_by_place_id_or_title(
    front: str, default: str, saved: str, kernel: str | None
) -> None:
    head, rest = menu(NEW, OLD).replace('"0"', f'"{default}"').split("fi\n", 1)
    found = json.loads(templated(head + "fi\n" + front + rest, "kernel_default_json", saved))
    assert found.get("kernel") == kernel


def test_a_default_of_ones_own_stays(tmp_path: Path) -> None:
    own = 'menuentry "Own" --id own {\n\tlinux /vmlinuz-5.99-own\n}\n'
    before, after = (menu(*releases).replace('"0"', '"own"') + own for releases in ((OLD,), (NEW, OLD)))
    done = run_role(tmp_path, before, after)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "kept").exists()


def test_a_default_that_was_never_saved_is_noted_where_the_menu_grew(tmp_path: Path) -> None:
    before, after = (menu(*releases).replace('"0"', '"${saved_entry}"') for releases in ((OLD,), (NEW, OLD)))
    done = run_role(tmp_path, before, after)
    assert done.returncode == 0, done.stdout
    kept = (tmp_path / "kept").read_text().splitlines()
    assert kept[-1] == f'GRUB_DEFAULT="gnulinux-advanced-0f0f-1>gnulinux-{OLD}-advanced-0f0f-1"'


# In the form of Ubuntu's entries for a root file system on ZFS.
ZFS = """\
submenu 'Advanced options for Ubuntu 24.99' ${menuentry_id_option} 'gnulinux-advanced-pool/ROOT/u_7' {
	menuentry 'Ubuntu, RELEASE (recovery)' ${menuentry_id_option} 'gnulinux-pool/ROOT/u_7-RELEASE-recovery' {
		linux	"/BOOT/u_7@/vmlinuz-RELEASE" root=ZFS="pool/ROOT/u_7" ro single
	}
	menuentry 'Ubuntu, RELEASE' --class ubuntu ${menuentry_id_option} 'gnulinux-pool/ROOT/u_7-RELEASE' {
		linux	"/BOOT/u_7@/vmlinuz-RELEASE" root=ZFS="pool/ROOT/u_7" ro
	}
}
"""


def test_a_menu_of_zfs_is_read_too() -> None:
    text = HEAD + ZFS.replace("RELEASE", NEW) + ZFS.replace("RELEASE", OLD)
    ids = f"gnulinux-advanced-pool/ROOT/u_7>gnulinux-pool/ROOT/u_7-{OLD}"
    assert templated(text, "kernel_ids_of_release", release=OLD) == ids
    assert json.loads(templated(text.replace('"0"', '"1>1"'), "kernel_default_json"))["kernel"] == OLD
    assert templated(text, "kernel_ids_of_release", release=OLD.removesuffix("-amd64")) == ""


def test_another_systems_entry_of_the_same_release_is_not_ours() -> None:
    ours = f"gnulinux-advanced-0f0f-1>gnulinux-{NEW}-advanced-0f0f-1"
    assert templated(SYSTEMS + menu(NEW, OLD), "kernel_ids_of_release", release=NEW) == ours
    assert templated(SYSTEMS + menu(OLD), "kernel_ids_of_release", release=NEW) == ""
    flat = entry(NEW, f"with {NEW}", f"{NEW}-advanced")  # GRUB_DISABLE_SUBMENU
    assert templated(SYSTEMS + flat, "kernel_ids_of_release", release=NEW) == f"gnulinux-{NEW}-advanced-0f0f-1"
