# SPDX-License-Identifier: Apache-2.0
"""Host settings: read, recorded in a journal, written and read back, and restored on release or after a crash.

The journal is one file per testbed on this computer. The old value of a setting is on disk before the new one is
written, and its entry is removed when the old value is restored. A setting lasts as long as its host's boot.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass

from orchestrator.agent.host_messages import ReadSettingsRequest, WriteSettingsRequest
from orchestrator.errors import TestbedError
from orchestrator.paths import state_home
from orchestrator.store.files import replace_file, to_json
from orchestrator.store.writing import now
from orchestrator.testbed.remote import Agent, AgentFailure

_PASSES = 2  # a NIC may change one setting with another, such as rx-usecs with adaptive-rx


@dataclass(frozen=True, slots=True)
class Setting:
    """One changed setting: the previous value, the written value, the boot of the host, and the time."""

    before: str
    written: str
    boot_id: str
    at: str


class SettingsJournal:
    """The settings of a testbed's hosts that must be restored: {host: {name: Setting}}."""

    def __init__(self, testbed: str) -> None:
        self.path = state_home() / f"settings-{testbed}.json"

    def pending(self) -> dict[str, dict[str, Setting]]:
        """Return the settings that must be restored. Raises TestbedError if the file cannot be read."""
        try:
            content = json.loads(self.path.read_bytes())
            return {
                host: {name: Setting(**entry) for name, entry in settings.items()} for host, settings in content.items()
            }
        except (FileNotFoundError, NotADirectoryError):
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
        """Record settings that are about to be written. Within one boot, the oldest value is the one to restore."""
        content = self.pending()
        mine = dict(content.get(host, {}))  # in the order of the first change; restoring is in reverse
        for name, setting in settings.items():
            old = content.get(host, {}).get(name)
            same_boot = old is not None and old.boot_id == setting.boot_id
            mine[name] = Setting(old.before, setting.written, old.boot_id, old.at) if old and same_boot else setting
        self._write({**content, host: mine})

    def remove(self, host: str, names: Iterable[str]) -> None:
        """Remove settings of a host from the journal, because nothing is left to restore."""
        content, gone = self.pending(), set(names)
        self._write({**content, host: {n: s for n, s in content.get(host, {}).items() if n not in gone}})


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of applying settings: the previous values ``before``, and the settings that the host ``refused``:
    {name: its message}."""

    before: dict[str, str]
    refused: dict[str, str]


def apply(
    agent: Agent, host: str, wanted: Mapping[str, str], journal: SettingsJournal, may_refuse: Collection[str] = ()
) -> Applied:
    """Apply settings to a host. ``may_refuse``: settings that the host may refuse.

    Raises TestbedError if it refuses any other.
    """
    if not wanted:
        return Applied({}, {})
    before: dict[str, str] = {}
    refused: dict[str, str] = {}
    for _ in range(_PASSES):
        asked = [name for name in wanted if name not in refused]
        found = agent.request(ReadSettingsRequest(asked, list(may_refuse)))
        refused |= found["refused"]
        values = found["values"]
        before = {**values, **before}
        differing = {name: wanted[name] for name, value in values.items() if value != " ".join(wanted[name].split())}
        if not differing:
            break
        boot_id, earlier = found["boot_id"], journal.pending().get(host, {})
        changed = {name: Setting(values[name], value, boot_id, now()) for name, value in differing.items()}
        journal.add(host, changed)
        said = agent.request(WriteSettingsRequest(differing, list(may_refuse)))["refused"]
        for name, refusal in said.items():
            refused[name] = refusal["said"]
            if refusal["now"] is not None and refusal["now"] != values[name]:  # the host has set another value
                journal.add(host, {name: Setting(values[name], refusal["now"], boot_id, now())})
            elif name in earlier:
                journal.add(host, {name: earlier[name]})
            else:
                journal.remove(host, [name])
    return Applied(before, refused)


def put_back(agent: Agent, host: str, journal: SettingsJournal) -> list[str]:
    """Restore a host's settings from the journal, and return sentences on what was restored and what could not be.

    A setting whose value is no longer the one that was written was changed by somebody else, and is left alone. Raises
    TestbedError if the host does not answer.
    """
    pending = journal.pending().get(host, {})
    if not pending:
        return []
    boot_id = agent.request(ReadSettingsRequest())["boot_id"]
    said = []
    for name, setting in in_turn(pending):
        done, sentence = True, f"{host}: {name} was reset by a restart of the host."
        if setting.boot_id == boot_id:
            done, sentence = _put_one_back(agent, host, name, setting)
        said.append(sentence)
        if done:
            journal.remove(host, [name])
    return said


def in_turn(pending: dict[str, Setting]) -> list[tuple[str, Setting]]:
    """Return settings in the order in which they are restored: the last changed first, except for CPUs."""
    newest_first = list(reversed(pending.items()))
    newest_first.sort(key=_turn)
    return newest_first


def _turn(item: tuple[str, Setting]) -> int:
    """Return the rank of a setting in the order of restoring.

    CPUs come online before the settings that belong to them, and go offline after. Second threads of cores come online
    only if SMT is on. An energy preference can be changed only after the governor.
    """
    name, setting = item
    if name.endswith("/energy_performance_preference"):
        return 3
    turns = {"/smt/control": ("on", 0, 5), "/online": ("1", 1, 4)}
    for end, (on, first, last) in turns.items():
        if name.startswith("/sys/devices/system/cpu/") and name.endswith(end):
            return first if setting.before == on else last
    return 2


def _put_one_back(agent: Agent, host: str, name: str, setting: Setting) -> tuple[bool, str]:
    """Restore one setting. Return whether nothing is left to do, and a sentence."""
    try:
        current = agent.request(ReadSettingsRequest([name]))["values"][name]
        if current == setting.before:
            return True, f"{host}: {name} is {current} already."
        if current != " ".join(setting.written.split()):
            stays = f"{host}: {name} is {current}, which somebody else set; it stays. It was {setting.before} before."
            return True, stays
        agent.request(WriteSettingsRequest({name: setting.before}))
    except AgentFailure as error:
        if name.startswith("irq/") and "No such file" in str(error):
            return True, f"{host}: {name} is gone, with the queue that it was for."
        return False, f"{host}: {name} could not be put back to {setting.before}, still to do: {error}"
    return True, f"{host}: {name} is {setting.before} again; it was {setting.written}."
