# SPDX-License-Identifier: Apache-2.0
"""From the tunable settings of hosts to the settings that are applied."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import TestbedError
from orchestrator.paths import CHECKOUT
from orchestrator.spec import SpecError, Tuning, load_testbed
from orchestrator.testbed.tuning import TRIED, after_queues, before_links, key_of, overview

CPU = "/sys/devices/system/cpu"


def server() -> dict[str, Any]:
    """Return a server with two CPUs and a card with four queues, as the agent describes it."""
    policies = [f"{CPU}/cpufreq/policy{cpu}/scaling_governor" for cpu in range(2)]
    queues = "/sys/class/net/ens1/queues"
    return {
        "governors": {path: {"now": "powersave", "choices": ["performance", "powersave"]} for path in policies},
        "turbo": {"name": f"{CPU}/intel_pstate/no_turbo", "off": "1", "now": "0"},
        "idle": [
            {"name": f"{CPU}/cpu{cpu}/cpuidle/state{state}/disable", "latency_us": latency, "now": "0"}
            for cpu in range(2)
            for state, latency in enumerate((0, 2, 10, 133))
        ],
        "smt": {"name": f"{CPU}/smt/control", "now": "on"},
        "irqbalance": "active",
        "nics": {
            "ens1": {
                "channels": {"now": 2, "most": 4},
                "ring-rx": {"now": 1024, "most": 8192},
                "ring-tx": {"now": 1024, "most": 4096},
                "hash-udp4": "sd",
                "coalesce-rx-usecs": "8",
                "interrupts": [[40, 0], [41, 1], [42, 2], [43, 3]],
                "steering": {f"{queues}/rx-0/rps_cpus": "00,000000ff", f"{queues}/tx-0/xps_cpus": "01"},
            }
        },
    }


BARE: dict[str, Any] = {
    **{"governors": {}, "turbo": None, "idle": [], "smt": None, "irqbalance": None},
    "nics": {
        "vec1": {
            **dict.fromkeys(("channels", "ring-rx", "ring-tx", "hash-udp4", "coalesce-rx-usecs")),
            "interrupts": [],
            "steering": {},
        }
    },
}


def test_the_defaults_make_a_server_steady() -> None:
    found = before_links("h", Tuning(), server(), 4)
    assert found == {
        f"{CPU}/cpufreq/policy0/scaling_governor": "performance",
        f"{CPU}/cpufreq/policy1/scaling_governor": "performance",
        f"{CPU}/intel_pstate/no_turbo": "1",
        **{f"{CPU}/cpu{cpu}/cpuidle/state{state}/disable": "0" for cpu in range(2) for state in range(3)},
        **{f"{CPU}/cpu{cpu}/cpuidle/state3/disable": "1" for cpu in range(2)},
        "service/irqbalance": "inactive",
        "nic/ens1/channels": "4",
        "nic/ens1/hash-udp4": "sdfn",
    }
    then = after_queues("h", Tuning(), server(), [0, 2])
    assert then == {
        **{"irq/40": "0", "irq/41": "2", "irq/42": "0", "irq/43": "2"},
        "/sys/class/net/ens1/queues/rx-0/rps_cpus": "00,00000000",
    }


def test_the_energy_preference_goes_with_the_governor_that_changes_it() -> None:
    can = server()
    for path, one in can["governors"].items():
        name = path.replace("scaling_governor", "energy_performance_preference")
        one["preference"] = {"name": name, "now": "balance_performance"}
    found = [name for name in before_links("h", Tuning(), can, 1) if "policy" in name]
    assert [name.rpartition("/")[2] for name in found] == [
        *["scaling_governor"] * 2,
        *["energy_performance_preference"] * 2,
    ]
    assert {key_of(name) for name in found} == {"governor"}
    other = before_links("h", Tuning.model_validate({"governor": "powersave"}), can, 1)
    assert not [name for name in other if name.endswith("_preference")]


def test_what_a_machine_does_not_have_is_left_out() -> None:
    assert before_links("h", Tuning(), BARE, 1) == {}
    assert after_queues("h", Tuning(), BARE, [0]) == {}


def test_everything_can_be_left_alone() -> None:
    nothing = Tuning.model_validate(dict.fromkeys(_key(name) for name in Tuning.model_fields if name != "offloads"))
    assert before_links("h", nothing, server(), 4) == {}
    assert after_queues("h", nothing, server(), [0]) == {}


def _key(name: str) -> str:
    return Tuning.model_fields[name].alias or name


FILE = """\
testbed: rack
provider: ssh
hosts:
  - {{name: one, roles: [client, gateway-a, gateway-b, server], {more}}}
"""


def test_a_file_says_null_to_leave_a_setting_alone(tmp_path: Path) -> None:
    keys = [_key(name) for name in Tuning.model_fields if name != "offloads"]
    file = tmp_path / "rack.yaml"
    file.write_text(FILE.format(more=f"tuning: {{{', '.join(f'{key}: null' for key in keys)}}}"))
    (host,) = load_testbed(file).hosts  # type: ignore[union-attr]
    assert before_links("one", host.tuning, server(), 4) == {}
    assert after_queues("one", host.tuning, server(), [0]) == {}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("tuning: {offloads: null}", r"hosts\[0\]\.tuning\.offloads: nothing is not valid"),
        ("tuning: {hash: ~}", "YAML reads ~ as no value"),
        ("tuning: {hash:}", "The value is missing"),
        ("tuning: null", "YAML reads null as no value"),
        ("kernel: null", "YAML reads null as no value"),
    ],
)
def test_elsewhere_null_is_a_mistake(tmp_path: Path, more: str, says: str) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(FILE.format(more=more))
    with pytest.raises(SpecError, match=says):
        load_testbed(file)


EXPLICIT = {
    "governor": "performance",
    "turbo": False,
    "deepest_idle": "1 us",
    "smt": True,
    "irqbalance": True,
    "channels": 2,
    "interrupts": "per-core",
    "hash": "ports",
    "ring": 512,
    "coalesce": "8 us",
    "steering": "off",
}


@pytest.mark.parametrize("key", EXPLICIT)
def test_what_is_asked_for_by_name_and_not_there_is_told(key: str) -> None:
    tuning = Tuning.model_validate({key: EXPLICIT[key]})
    stage = (after_queues, [0]) if key in ("interrupts", "steering") else (before_links, 1)
    with pytest.raises(TestbedError, match=rf"^h has nothing that tuning\.{key} could set"):
        stage[0]("h", tuning, BARE, stage[1])  # type: ignore[operator]


def test_values_are_those_of_the_file() -> None:
    tuning = Tuning.model_validate(
        {
            "turbo": True,
            "smt": False,
            "ring": "most",
            "coalesce": "20 us",
            "offloads": {"rx-gro-hw": True},
            "channels": 3,
        }
    )
    found = before_links("h", tuning, server(), 1)
    assert found[f"{CPU}/intel_pstate/no_turbo"] == "0"
    assert found[f"{CPU}/smt/control"] == "off"
    assert (found["nic/ens1/ring-rx"], found["nic/ens1/ring-tx"]) == ("8192", "4096")
    assert found["nic/ens1/coalesce-rx-usecs"] == "20"
    assert found["nic/ens1/feature-rx-gro-hw"] == "on"
    assert found["nic/ens1/channels"] == "3"


def test_more_queues_than_there_are_is_told_where_the_file_has_a_number_and_as_many_as_there_are_otherwise() -> None:
    assert before_links("h", Tuning(), server(), 16)["nic/ens1/channels"] == "4"
    with pytest.raises(TestbedError, match=r"tuning\.channels"):
        before_links("h", Tuning.model_validate({"channels": 5}), server(), 16)


def test_a_card_that_adapts_its_coalescing_is_told_not_to_before_it_gets_a_time() -> None:
    adaptive = server()
    adaptive["nics"]["ens1"]["adaptive-rx"] = "on"
    found = before_links("h", Tuning.model_validate({"coalesce": "8 us"}), adaptive, 1)
    assert [name for name in found if "-rx" in name] == ["nic/ens1/adaptive-rx", "nic/ens1/coalesce-rx-usecs"]
    assert found["nic/ens1/adaptive-rx"] == "off"


def test_only_what_an_interface_was_asked_for_is_judged() -> None:
    asked = Tuning.model_validate({"interrupts": "per-core", "steering": "off"})
    rps = "/sys/class/net/en7/queues/rx-0/rps_cpus"
    assert after_queues("h", asked, {"nics": {"en7": {"steering": {rps: "3"}}}}, [0]) == {rps: "0"}
    assert after_queues("h", asked, {"nics": {"en7": {"interrupts": [[9, 1]]}}}, [0, 1]) == {"irq/9": "1"}
    with pytest.raises(TestbedError, match=r"tuning\.interrupts"):
        after_queues("h", asked, {"nics": {"en7": {"interrupts": []}}}, [0])


def test_every_setting_belongs_to_the_key_that_it_comes_from() -> None:
    everything = Tuning.model_validate({**EXPLICIT, "offloads": {"tx-udp_tnl-segmentation": False}})
    can = server()
    can["nics"]["ens1"]["adaptive-rx"] = "on"
    found = overview(everything, can, [0, 1])
    assert set(found) == {*EXPLICIT, "offloads"}
    assert {key: {key_of(name) for name in settings} for key, settings in found.items()} == {
        key: {key} for key in found
    }


@given(st.lists(st.integers(0, 127), min_size=1, max_size=16, unique=True))
def test_every_interrupt_goes_to_a_cpu_of_the_block_and_none_has_two_more_than_another(cpus: list[int]) -> None:
    found = after_queues("h", Tuning(), server(), cpus)
    where = [int(cpu) for name, cpu in found.items() if name.startswith("irq/")]
    assert set(where) <= set(cpus)
    counts = [where.count(cpu) for cpu in cpus]
    assert max(counts) - min(counts) <= 1


def test_each_kind_says_how_far_it_was_tried_also_in_the_documentation() -> None:
    assert set(TRIED) == {_key(name) for name in Tuning.model_fields}
    documented = (CHECKOUT / "docs" / "testbeds.md").read_text()
    for name, level in TRIED.items():
        assert any(line.startswith(f"| `{name}`") and f"| {level} |" in line for line in documented.splitlines()), name


def test_the_features_of_a_group_are_set_one_by_one_so_that_each_goes_back_to_what_it_was() -> None:
    can = server()
    can["nics"]["ens1"]["groups"] = {"tcp-segmentation-offload": ["tx-tcp-segmentation", "tx-tcp6-segmentation"]}
    asked = {"tcp-segmentation-offload": False, "generic-receive-offload": True}
    found = before_links("h", Tuning.model_validate({"offloads": asked}), can, 1)
    assert {name.partition("feature-")[2]: value for name, value in found.items() if "feature-" in name} == {
        "tx-tcp-segmentation": "off",
        "tx-tcp6-segmentation": "off",
        "generic-receive-offload": "on",
    }
