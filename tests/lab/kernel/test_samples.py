# SPDX-License-Identifier: Apache-2.0
"""/proc/cpu_samples of the lab kernel: what is sampled adds up to what CPUs were busy for, and calls are followed."""

from typing import Any

import pytest

from tests.lab.kernel.machine import machine

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(("virtual", "most"), [(False, 0.05), (True, 0.02)])
def test_samples_add_up_to_the_busy_time_and_follow_calls(virtual: bool, most: float) -> None:
    with machine(4, virtual=virtual) as guest:
        found: dict[str, Any] = guest.program("samples", 4, 400000)
        assert len(found["refused"]) == 5
        for cpu in ("0", "1"):
            assert found["busy_s"][cpu] > 0.9 * found["seconds"]
            assert found["sampled_s"][cpu] == pytest.approx(found["busy_s"][cpu], rel=most)
        assert set(found["lost_s"].values()) == {0.0}
        # The idle CPUs were idle; one ran this program.
        assert min(found["sampled_s"].values()) < 0.2 * found["seconds"]
        assert found["user_s"]["1"] > 0.8 * found["sampled_s"]["1"]
        assert found["user_s"]["0"] < 0.5 * found["sampled_s"]["0"]
        # Whoever makes random numbers was called by read(2); code in assembly or of the host may have lost the frame.
        random = [(names, ns) for task, names, ns in found["chains"] if task == "dd" and "vfs_read" in names]
        reading = sum(ns for _, ns in random)
        assert reading > 0.5 * (found["sampled_s"]["0"] - found["user_s"]["0"])
        drawn = sum(ns for names, ns in random if "get_random_bytes_user" in names)
        assert drawn > 0.5 * reading
        for names, _ in random:
            if "get_random_bytes_user" in names:  # the innermost comes first
                assert names.index("get_random_bytes_user") < names.index("vfs_read")
        assert guest.complaints() == []


def test_what_finds_no_room_is_counted() -> None:
    with machine(2, virtual=True) as guest:
        found: dict[str, Any] = guest.program("samples", 4, 2000)
        assert found["lost_s"]["0"] > 0
        for cpu in ("0", "1"):
            both = found["sampled_s"][cpu] + found["lost_s"][cpu]
            assert both == pytest.approx(found["busy_s"][cpu], rel=0.02)
