# SPDX-License-Identifier: Apache-2.0
"""Host settings: read, journalled, written, read back; and put back on release, or after a crash.

The journal is a file of this computer, one a testbed. A setting's old value is in it, on the disk, before the new one
is written; its entry goes when the old value is back. A setting lives as long as its host's boot.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from orchestrator.errors import TestbedError
from orchestrator.paths import state_home
from orchestrator.store.files import replace_file, to_json
from orchestrator.store.writing import now
from orchestrator.testbed.remote import Agent, AgentFailure


@dataclass(frozen=True, slots=True)
class Setting:
    """One changed setting: the value before, the value that was written, in which boot of the host, and when."""

    before: str
    written: str
    boot_id: str
    at: str


class SettingsJournal:
    """The settings of a testbed's hosts that are to be put back: {host: {name: Setting}}."""

    def __init__(self, testbed: str) -> None:
        self.path = state_home() / f"settings-{testbed}.json"

    def pending(self) -> dict[str, dict[str, Setting]]:
        """What is to be put back. Raises TestbedError where the file cannot be read."""
        try:
            content = json.loads(self.path.read_text())
            return {
                host: {name: Setting(**entry) for name, entry in settings.items()} for host, settings in content.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TestbedError(
                f"The journal of host settings {self.path} cannot be read ({error}). Look at it, put the settings back "
                "by hand, and remove it."
            ) from error

    def _write(self, content: Mapping[str, Mapping[str, Setting]]) -> None:
        kept = {
            host: {name: asdict(setting) for name, setting in settings.items()}
            for host, settings in content.items()
            if settings
        }
        if not kept:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, to_json(kept))

    def add(self, host: str, settings: Mapping[str, Setting]) -> None:
        """Remember settings that are about to be written. The oldest value of a boot is the one to go back to."""
        content = self.pending()
        mine = dict(content.get(host, {}))  # in the order of the first change, which is gone back in reverse
        for name, setting in settings.items():
            old = content.get(host, {}).get(name)
            same_boot = old is not None and old.boot_id == setting.boot_id
            mine[name] = Setting(old.before, setting.written, old.boot_id, old.at) if old and same_boot else setting
        self._write({**content, host: mine})

    def remove(self, host: str, names: Iterable[str]) -> None:
        """Forget settings of a host: nothing is left to do about them."""
        content, gone = self.pending(), set(names)
        self._write({**content, host: {n: s for n, s in content.get(host, {}).items() if n not in gone}})


def apply(agent: Agent, host: str, wanted: Mapping[str, str], journal: SettingsJournal) -> dict[str, str]:
    """Bring a host's settings to the wanted values; returns the values before. Raises TestbedError."""
    if not wanted:
        return {}
    found = agent.request("read_settings", names=list(wanted))
    before: dict[str, str] = found["values"]
    differing = {name: value for name, value in wanted.items() if before[name] != " ".join(value.split())}
    if differing:
        changed = {name: Setting(before[name], value, found["boot_id"], now()) for name, value in differing.items()}
        journal.add(host, changed)
        agent.request("write_settings", values=differing)
    return before


def put_back(agent: Agent, host: str, journal: SettingsJournal) -> list[str]:
    """Put a host's settings back to what the journal says; returns sentences on what was done and what could not be.

    A setting that has meanwhile another value than the one that was written was changed by somebody else: it stays as
    it is. Raises TestbedError where the host does not answer.
    """
    pending = journal.pending().get(host, {})
    if not pending:
        return []
    boot_id = agent.request("read_settings", names=[])["boot_id"]
    said = []
    for name, setting in reversed(pending.items()):
        done, sentence = True, f"{host}: {name} went back with a restart of the host."
        if setting.boot_id == boot_id:
            done, sentence = _put_one_back(agent, host, name, setting)
        said.append(sentence)
        if done:
            journal.remove(host, [name])
    return said


def _put_one_back(agent: Agent, host: str, name: str, setting: Setting) -> tuple[bool, str]:
    """Whether nothing is left to do, and a sentence."""
    try:
        current = agent.request("read_settings", names=[name])["values"][name]
        if current == setting.before:
            return True, f"{host}: {name} is {current} already."
        if current != " ".join(setting.written.split()):
            stays = f"{host}: {name} is {current}, which somebody else set; it stays. It was {setting.before} before."
            return True, stays
        agent.request("write_settings", values={name: setting.before})
    except AgentFailure as error:
        if name.startswith("irq/") and "No such file" in str(error):
            return True, f"{host}: {name} is gone, with the queue that it was for."
        return False, f"{host}: {name} could not be put back to {setting.before}, still to do: {error}"
    return True, f"{host}: {name} is {setting.before} again; it was {setting.written}."
