# SPDX-License-Identifier: Apache-2.0
"""Which interrupts are for which queue, by the names of many drivers. The lines are in the form of Linux 6.1 to 7.2."""

from pathlib import Path

import pytest

from orchestrator.agent import interrupts
from orchestrator.agent.interrupts import named_interrupts, queues_of


def table(*lines: str, cpus: int = 2) -> str:
    head = "".join(f"       CPU{cpu}" for cpu in range(cpus))
    return "\n".join([head, *lines, "NMI:   1   2   Non-maskable interrupts", ""])


NAMED = [
    ("  7:   0   12   IR-PCI-MSI 512000-edge      en7-TxRx-0", "en7-TxRx-0"),
    (
        "  7:   0   12   IR-PCI-MSIX-0000:17:00.0    3-edge      mlx5_comp2@pci:0000:17:00.0",
        "mlx5_comp2@pci:0000:17:00.0",
    ),
    ("  7:   0   12   ITS-MSI 4194304 Edge      virtio2-input.0", "virtio2-input.0"),
    ("  7:   0   12   GICv3  45 Level     enet", "enet"),
    ("  7:   0   12   xen-dyn    -event     vif0-q0-tx", "vif0-q0-tx"),
    ("  7:   0   12   IO-APIC  19-fasteoi   usb_hcd, en7", "en7"),
    ("  7:   0   12   Hyper-V PCIe MSI 4194305-edge   mana_q3@pci:7870:00:00.0", "mana_q3@pci:7870:00:00.0"),
    (
        "  7:   0   12   Hyper-V PCIe MSIX-9a1c:00:02.0    2-edge   mlx5_comp1@pci:9a1c:00:02.0",
        "mlx5_comp1@pci:9a1c:00:02.0",
    ),
    ("  7:   0   12   ITS-PCI-MSIX-0000:17:00.0   3 Edge      en7-TxRx-2", "en7-TxRx-2"),
    ("  7:   0   12   PCI-MSI 6 RVUPF1 AFVF Mbox", "RVUPF1 AFVF Mbox"),
    ("  7:   0   12   Hyper-V PCIe MSI 4194305-edge", None),
    ("  7:   0   12   IR-PCI-MSI 512000-edge    ", None),
    ("  7:   0   12   PCI-MSIX-0000:17:00.0    3-edge", None),
]


@pytest.mark.parametrize(("line", "name"), NAMED)
def test_a_line_gives_the_name_that_the_driver_gave_or_none(line: str, name: str | None) -> None:
    assert named_interrupts(table(line)) == ({} if name is None else {7: name})


CARDS = {
    "mlx5": (["mlx5_async0@pci:a", "mlx5_comp0@pci:a", "mlx5_comp1@pci:a"], [None, 0, 1]),
    "mlx5, older": (["mlx5_pages_eq@pci:a", "mlx5_cmd_eq@pci:a", "mlx5_comp0@pci:a"], [None, None, 0]),
    "mlx4": (["mlx4-async@pci:a", "mlx4-1@pci:a", "mlx4-2@pci:a"], [None, 1, 2]),
    "i40e": (
        ["i40e-0000:3d:00.0:misc", "i40e-en7-TxRx-0", "i40e-en7-TxRx-1", "i40e-0000:3d:00.0:fdir-TxRx-0"],
        [None, 0, 1, None],
    ),
    "ice": (["ice-0000:3d:00.0:misc", "ice-en7-TxRx-0", "ice-en7-TxRx-11"], [None, 0, 11]),
    "iavf": (["iavf-0000:3d:02.0:mbx", "iavf-en7-TxRx-0"], [None, 0]),
    "idpf": (["idpf-0000:3d:02.0-Mailbox-0", "idpf-en7-TxRx-0", "idpf-en7-TxRx-1"], [None, 0, 1]),
    "ixgbe, whose last is named as the interface": (["en7-TxRx-0", "en7-TxRx-1", "en7"], [0, 1, None]),
    "igb": (["en7", "en7-TxRx-0"], [None, 0]),
    "e1000e": (["en7-rx-0", "en7-tx-0", "en7"], [0, 0, None]),
    "ena": (["ena-mgmnt@pci:a", "en7-Tx-Rx-0", "en7-Tx-Rx-1"], [None, 0, 1]),
    "virtio": (["virtio3-config", "virtio3-input.0", "virtio3-output.0", "virtio3-input.1"], [None, 0, 0, 1]),
    "virtio with a control queue": (["virtio3-config", "virtio3-control", "virtio3-input.0"], [None, None, 0]),
    "bnxt beside RDMA": (["en7-TxRx-0", "en7-TxRx-1", "bnxt_re-nq-0@pci:a"], [0, 1, None]),
    "bnx2x": (["en7", "en7-fp-0", "en7-fp-1"], [None, 0, 1]),
    "sfc": (["en7-0", "en7-1", "en7-ptp"], [0, 1, None]),
    "vmxnet3": (["en7-rxtx-0", "en7-rxtx-1", "en7-event-2"], [0, 1, None]),
    "enic": (["en7-rx-0", "en7-tx-0", "en7-err", "en7-notify"], [0, 0, None, None]),
    "gve": (["gve-ntfy-blk0@pci:a", "gve-ntfy-blk1@pci:a", "gve-mgmnt@pci:a"], [0, 1, None]),
    "mana": (["mana_hwc@pci:a", "mana_q0@pci:a"], [None, 0]),
    "hns3": (["hclge-misc-0000:7d:00.0", "hns3-0000:7d:00.0-TxRx-0"], [None, 0]),
    "one interrupt": (["en7"], [0]),
    "a name that ends with the card's address": (["drv-0000:3d:00.1", "en7-TxRx-0", "en7-TxRx-1"], [None, 0, 1]),
    "an interface whose name is like that of no queue": (
        ["ice-0000:3d:00.0:misc", "ice-uplink7-TxRx-0", "ice-uplink7-TxRx-1"],
        [None, 0, 1],
    ),
    "tg3": (["en7-tx-0", "en7-rx-1", "en7-rx-2"], [0, 1, 2]),
    "cxgb4": (["0000:3d:00.4", "0000:3d:00.4-FWeventq", "en7-Rx0", "en7-Rx1"], [None, None, 0, 1]),
    "qede": (["sp-0-0000:3d:00.0", "en7-fp-0", "en7-fp-1"], [None, 0, 1]),
    "nfp": (["nfp-0000:3d:00.0-lsc", "nfp-en7-rxtx-0", "nfp-0000:3d:00.0-exn"], [None, 0, None]),
    "ionic": (["ionic-0000:3d:00.0-adminq", "ionic-en7-tx-1", "ionic-en7-rx-1"], [None, 1, 1]),
    "octeontx2": (["RVUPF1 AFVF Mbox", "en7-qerr", "en7-rxtx-0", "en7-rxtx-1"], [None, None, 0, 1]),
    "hinic": (["hinic_aeq0@pci:a", "hinic_ceq0@pci:a", "en7_rxq0", "en7_txq0"], [None, None, 0, 0]),
    "stmmac": (["en7", "en7:rx-0", "en7:tx-0"], [None, 0, 0]),
    "virtio with one vector for all queues": (["virtio3-config", "virtio3-virtqueues"], [None, 0]),
    "netfront": (["en7-q0-tx", "en7-q0-rx", "en7-q1-tx", "en7-q1-rx"], [0, 0, 1, 1]),
    "hns3 as a virtual function": (["hclgevf-misc-0000:7d:01.0", "hns3-0000:7d:01.0-TxRx-1"], [None, 1]),
    "gve, older": (["en7-ntfy-block.0", "en7-ntfy-block.1", "en7-mgmnt"], [0, 1, None]),
    "cxgb4, newer": (["0000:3d:00.4-FWeventq", "en7 (queue 0)", "en7 (queue 1)"], [None, 0, 1]),
    "ice with queues of each kind": (["ice-0000:3d:00.0:misc", "ice-en7-rx-0", "ice-en7-tx-1"], [None, 0, 1]),
    "thunderx": (["en7-CQ-0", "en7-CQ-1", "en7-Qset-err-0"], [0, 1, None]),
    "amd-xgbe": (["en7", "en7-TxRx-0", "en7-ecc", "en7-pcs"], [None, 0, None, None]),
    "all with the name of the interface": (["en7", "en7", "en7"], [0, 1, 2]),
    "another name than the interface has by now": (["eth4", "eth4-TxRx-0", "eth4-TxRx-1"], [None, 0, 1]),
}


@pytest.mark.parametrize("card", CARDS)
def test_interrupts_of_queues_are_told_from_the_others(card: str) -> None:
    names, queues = CARDS[card]
    nic = "uplink7" if any("uplink7" in name for name in names) else "en7"
    found = dict(queues_of(dict(enumerate(names, 30)), nic))
    assert found == {30 + place: queue for place, queue in enumerate(queues) if queue is not None}


@pytest.mark.parametrize(
    ("device", "queues"), [("devices/vif-0", [[40, 0], [41, 1]]), ("devices/pci0000:00/0000:00:03.0", [])]
)
def test_a_device_that_lists_no_interrupts_is_found_by_its_name_unless_it_is_on_pci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, queues: list[list[int]]
) -> None:
    named = ("en7-q0-rx", "en7-q1-rx", "en71-q0-rx", "rtc0")
    lines = [f" {40 + place}:  0  12  xen-dyn    -event     {name}" for place, name in enumerate(named)]
    monkeypatch.setattr(interrupts, "read_text", lambda path: table(*lines))
    (tmp_path / device).mkdir(parents=True)
    (tmp_path / "class/net/en7").mkdir(parents=True)
    (tmp_path / "class/net/en7/device").symlink_to(tmp_path / device)
    assert interrupts.interrupts_of("en7", str(tmp_path)) == queues


def test_a_card_that_is_down_has_none() -> None:
    down = table("  7:   0   12   IR-PCI-MSI 512000-edge    ", "  8:  0  1  PCI-MSIX-0:a 0-edge  ena-mgmnt@pci:a")
    assert queues_of(named_interrupts(down), "en7") == []
