# SPDX-License-Identifier: Apache-2.0
"""A testbed as its file describes it: a provider and its hosts. Each provider has its own kind of host."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from orchestrator.spec import catalog
from orchestrator.spec.fields import (
    MOST_VIRTUAL_CPUS,
    CpuOrder,
    Duration,
    HostName,
    Memory,
    Name,
    Packages,
    Quantum,
    SettingName,
    Strict,
    TestbedName,
    expected,
)
from orchestrator.spec.role_cpus import (
    MOST_CORES_OF_OWN,
    MOST_MACHINE_CPUS,
    OWN_CPUS,
    SHARED_CPUS,
    STEERED,
    VETH,
    LinkKind,
    RoleCpus,
    machine_cpus,
)
from orchestrator.spec.tuning import Tuning
from orchestrator.spec.variants import OwnCode

Role = Literal["client", "gateway-a", "gateway-b", "server"]
ROLES: tuple[Role, ...] = ("client", "gateway-a", "gateway-b", "server")
Link = Literal["lan-a", "wan", "lan-b"]
# The links of a topology and the roles at their ends, from the sender's side.
LINKS: dict[Link, tuple[Role, Role]] = {
    "lan-a": ("client", "gateway-a"),
    "wan": ("gateway-a", "gateway-b"),
    "lan-b": ("gateway-b", "server"),
}
GATEWAYS: tuple[str, str] = LINKS["wan"]


class Host(Strict):
    """What every kind of host has. ``settings``: host settings, by sysctl or file of /sys, that hold while a run uses
    it and are put back after it."""

    name: Name
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    settings: dict[SettingName, Annotated[str, Field(min_length=1)]] = Field(default={})

    @field_validator("settings")
    @classmethod
    def _no_way_up(cls, settings: dict[str, str]) -> dict[str, str]:
        if any(part in ("..", ".") for name in settings for part in name.split("/")):
            raise expected("settings without .. in their names")
        return settings


class _Testbed(Strict):
    """What every testbed has."""

    testbed: TestbedName
    description: str = ""

    _file: str = PrivateAttr(default="")
    _own_code: tuple[OwnCode, ...] = PrivateAttr(default=())

    def with_file(self, file: str) -> Self:
        """The same, remembering what a user named: a name in experiments/testbeds, or a file."""
        copy = self.model_copy()
        copy._file = file
        return copy

    @property
    def file(self) -> str:
        """What a user named to mean this testbed; its own name where it was not read from a file."""
        return self._file or self.testbed

    def with_code(self, code: tuple[OwnCode, ...]) -> Self:
        """The same, with code of an experiment's own variants, builds of which its hosts are to have."""
        copy = self.model_copy()
        copy._own_code = code
        return copy

    @property
    def own_code(self) -> tuple[OwnCode, ...]:
        """Code of an experiment's own variants."""
        return self._own_code

    def _check_roles(self, hosts: Sequence[Host], needed: Sequence[str]) -> None:
        placed = [role for host in hosts for role in host.roles]
        wrong = [
            f"{role} is on {placed.count(role)} places"
            for role in ROLES
            if placed.count(role) > 1 or (role in needed and role not in placed)
        ]
        if wrong:
            raise expected(f"each of the roles {', '.join(needed)} on exactly one host", because="; ".join(wrong))
        names = {host.name.lower() for host in hosts}  # a host key's name, and the DNS, have no capitals
        if len(names) != len(hosts):
            raise expected("a name of its own for every host", because="two hosts have the same name")


class UmlHost(Host):
    """A lab machine. ``memory`` is in bytes."""

    memory: Memory = 2**30


Clock = Literal["real", "virtual"]
REAL_CLOCK: Clock = "real"
VIRTUAL_CLOCK: Clock = "virtual"
DEFAULT_QUANTUM_S = 20e-6
_VirtualCpus = Annotated[int, Field(ge=1, le=MOST_VIRTUAL_CPUS)]


class UmlTestbed(_Testbed):
    """The embedded lab: machines on this computer.

    With ``clock: virtual`` a machine has more virtual CPUs than run at a time (``slots``); each has a clock that
    advances only while it runs. ``quantum_s`` (seconds) is how far one of these clocks may run ahead of the others.
    ``slots`` None: as many as this process may use cores of the computer. A cell has at most ``cores`` of them:
    with ``role_cpus`` own in each gateway, while the client and the server have others; with shared in all, for all
    roles. ``links``: how received packets come to the CPUs of a role. ``packages``: Debian packages that the
    machines have beside those of the lab's image.
    """

    provider: Literal["uml"]
    packages: Packages = ()
    clock: Clock = Field(
        default=REAL_CLOCK,
        description="virtual: a machine may have more virtual CPUs than the computer has cores, and each has a clock "
        "that advances only while it runs.",
    )
    role_cpus: RoleCpus = Field(
        default=SHARED_CPUS,
        description="own: each role has virtual CPUs of its own, as hosts of their own would, the default in virtual "
        "time; shared: all roles share the machine's, the default and the only choice in real time.",
    )
    cores: _VirtualCpus | None = Field(
        default=None,
        description="In virtual time: how many virtual CPUs a cell may have at most: each gateway, or with role_cpus "
        "shared the whole machine.",
    )
    slots: _VirtualCpus | None = Field(
        default=None,
        description="In virtual time: how many virtual CPUs run at a time, each on a core of this computer; by default "
        "all cores.",
    )
    quantum_s: Quantum = Field(default=DEFAULT_QUANTUM_S, alias="quantum")
    links: LinkKind = Field(
        default=VETH,
        description="How received packets come to the CPUs of a role. veth: they stay on the CPU that sent them, the "
        "default in real time; rss: a gateway spreads them by a hash of their outer headers; steered: flows take the "
        "gateway's CPUs in turn, the default in virtual time.",
    )
    hosts: Annotated[tuple[UmlHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_clock(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("clock") == VIRTUAL_CLOCK:
            return {"role_cpus": OWN_CPUS, "links": STEERED, **values}
        return values

    @field_validator("cores")
    @classmethod
    def _cpus_of_a_machine(cls, cores: int | None, info: ValidationInfo) -> int | None:
        own = info.data.get("role_cpus") == OWN_CPUS
        if cores is not None and own and cores > MOST_CORES_OF_OWN:
            raise expected(
                f"at most {MOST_CORES_OF_OWN} cores, or role_cpus: {SHARED_CPUS}",
                because=f"with CPUs of its own for each role, {cores} cores in each gateway take "
                f"{machine_cpus(cores, OWN_CPUS)} virtual CPUs in all, and a lab machine has at most "
                f"{MOST_MACHINE_CPUS}",
            )
        return cores

    @field_validator("cores", "slots", "quantum_s")
    @classmethod
    def _only_in_virtual_time(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("clock") == REAL_CLOCK:
            name = str(info.field_name).removesuffix("_s")
            raise expected(
                f"no {name}, or clock: {VIRTUAL_CLOCK} beside it", because=f"{name} is a setting of virtual time"
            )
        return value

    @field_validator("role_cpus")
    @classmethod
    def _own_only_in_virtual_time(cls, value: RoleCpus, info: ValidationInfo) -> RoleCpus:
        if value == OWN_CPUS and info.data.get("clock") == REAL_CLOCK:
            raise expected(
                f"role_cpus: {SHARED_CPUS}, or clock: {VIRTUAL_CLOCK} beside it",
                because="in real time a machine has no more virtual CPUs than the computer has cores, which all roles "
                "share",
            )
        return value

    @field_validator("hosts")
    @classmethod
    def _steered_on_one_machine(cls, hosts: tuple[UmlHost, ...], info: ValidationInfo) -> tuple[UmlHost, ...]:
        if len(hosts) > 1 and info.data.get("links", VETH) != VETH and info.data.get("clock") == REAL_CLOCK:
            raise expected(
                f"one host with all roles, or links: {VETH}",
                because=f"links: {info.data['links']} is for virtual Ethernet inside a machine, and a link between two "
                "machines is none",
            )
        return hosts

    @field_validator("hosts")
    @classmethod
    def _one_clock(cls, hosts: tuple[UmlHost, ...], info: ValidationInfo) -> tuple[UmlHost, ...]:
        if len(hosts) > 1 and info.data.get("clock") == VIRTUAL_CLOCK:
            raise expected(
                f"one host with all roles, or clock: {REAL_CLOCK}",
                because=f"with clock: {VIRTUAL_CLOCK} each machine has a virtual time of its own, so that packets "
                "between two machines would cross between two clocks",
            )
        return hosts

    @model_validator(mode="after")
    def _each_role_once(self) -> "UmlTestbed":
        self._check_roles(self.hosts, ROLES)
        return self

    @model_validator(mode="after")
    def _virtual_cpus(self) -> "UmlTestbed":
        if self.clock == VIRTUAL_CLOCK and self.cores is None:
            raise expected(
                "the most virtual CPUs that a machine may have, such as cores: 16",
                because=f"with clock: {VIRTUAL_CLOCK} their number does not follow from the computer's",
            )
        return self


def _kernel_name(value: str) -> str:
    known = catalog.known_kernels()
    if value not in known:
        raise expected(f"a kernel of kernel/releases.yaml: {', '.join(known)}")
    return value


KernelName = Annotated[
    str, AfterValidator(_kernel_name), Field(description="A kernel of Debian's, of kernel/releases.yaml.")
]


class QemuHost(Host):
    """A guest: a virtual machine with a kernel of Debian's. ``memory`` is in bytes."""

    memory: Memory = 2**30
    kernel: KernelName = "trixie-6.12"


class QemuTestbed(_Testbed):
    """Guests on this computer, with Debian's own kernels. ``packages``: as of `UmlTestbed`."""

    provider: Literal["qemu"]
    packages: Packages = ()
    hosts: Annotated[tuple[QemuHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="after")
    def _each_role_once(self) -> "QemuTestbed":
        self._check_roles(self.hosts, ROLES)
        return self


_Text = Annotated[str, Field(min_length=1, pattern=r"^[^-\s][^\s]*$")]  # no option for ssh, no second word
NicName = Annotated[
    str, Field(pattern=r"^[^\s/:]{1,15}$", description="A network interface of the host, such as eth1.")
]


KernelRelease = Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+~_-]*$", examples=["6.12.48+deb13-amd64"])]


class SshHost(Host):
    """A host that is there: reached by SSH, and given back as it was.

    What is not said here comes from the inventory, if there is one, then from your SSH configuration.
    ``inventory_host``: its name there, where it has another here. ``nics``: the interface on each link whose other end
    is another host; ``cpus``: in which order the host's CPUs are taken for gateways, as many as a block has cores;
    ``other_cpus``: what becomes of the others meanwhile.
    """

    name: HostName
    inventory_host: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Its name in the inventory; by default the host's name."
    )
    address: _Text | None = Field(default=None, description="Name or IP address; by default the host's name.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: _Text | None = None
    key: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="A private key file.")
    jump: _Text | None = Field(default=None, description="A host to go through: [USER@]HOST[:PORT].")
    become: Literal["sudo", "none"] | None = Field(
        default=None, description="How to be root there; by default sudo, and none for the user root."
    )
    nics: dict[Link, NicName] = Field(default={}, description="The interface on each link to another host.")
    cpus: CpuOrder = "physical-first"
    other_cpus: Literal["off-line", "free"] = Field(
        default="off-line",
        description="Of a gateway, the CPUs that a block does not use: taken off line, or on line and free of all that "
        "belongs to a trial, which only variants of this project's module allow.",
    )
    kernel: KernelRelease | None = Field(
        default=None,
        description="The kernel that it is to run, as `uname -r` says it: its package is installed, and the host "
        "restarted with it, where it runs another. What it boots by default stays.",
    )
    power: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None,
        min_length=1,
        description="A command on this computer, with its arguments, that restarts the host where it has not answered "
        "for long, such as [ipmitool, -H, bmc.example.org, chassis, power, cycle].",
    )
    tuning: Tuning = Field(default=Tuning(), description="What is set while a run uses the host.")
    modules: Literal["auto", "build"] = Field(
        default="auto",
        description="build: always built on the host. auto: those that this computer has built for the host's kernel, "
        "else built there.",
    )

    @model_validator(mode="after")
    def _one_use_of_a_nic(self) -> "SshHost":
        if len(set(self.nics.values())) != len(self.nics):
            raise expected("another interface for each link")
        return self


class SshTestbed(_Testbed):
    """Hosts that are there, reached by SSH. ``inventory``: an Ansible inventory that says how to reach them."""

    provider: Literal["ssh"]
    inventory: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="An Ansible inventory, relative to this file, that says how the hosts are reached."
    )
    restart: bool = Field(
        default=False,
        description="Whether the hosts may be restarted before each block of a spec with several boots, so that its "
        "intervals count what differs from one boot to the next.",
    )
    restart_within_s: Duration = Field(
        default=300.0, alias="restart_within", description="How long a host may take to be back after a restart."
    )
    hosts: Annotated[tuple[SshHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="after")
    def _placed(self) -> "SshTestbed":
        placed = {role for host in self.hosts for role in host.roles}
        ends = {"client", "server"}
        self._check_roles(self.hosts, ROLES if placed & ends else GATEWAYS)
        for host in self.hosts:
            for link, roles in LINKS.items():
                here, both = set(roles) & set(host.roles), set(roles) <= placed
                crosses = both and len(here) == 1
                if crosses and link not in host.nics:
                    raise expected(
                        f"nics: {{{link}: INTERFACE}} for the host {host.name}",
                        because=f"{host.name} has {here.pop()}, and the other end of the link {link} is another host",
                    )
                if link in host.nics and not crosses:
                    raise expected(
                        f"no interface for the link {link} on the host {host.name}",
                        because=f"the link {link} does not go from {host.name} to another host",
                    )
        return self


Testbed = UmlTestbed | QemuTestbed | SshTestbed


class Pool(_Testbed):
    """Several testbeds that share a run: each carries whole blocks, at the same time as the others.

    ``testbeds``: as a spec names one: a name in experiments/testbeds, or a file, relative to this one.
    """

    provider: Literal["pool"]
    testbeds: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(min_length=1, description="Names in experiments/testbeds, or files relative to this one."),
    ]

    _members: tuple[Testbed, ...] = PrivateAttr(default=())

    def with_members(self, members: Sequence[Testbed]) -> "Pool":
        """The same, with the testbeds that its names mean."""
        copy = self.model_copy()
        copy._members = tuple(members)
        return copy

    @property
    def members(self) -> tuple[Testbed, ...]:
        """The testbeds that its names mean, in their order."""
        return self._members


# A file's `provider` decides which of these describes it.
PROVIDERS: dict[str, type[Testbed | Pool]] = {
    "uml": UmlTestbed,
    "qemu": QemuTestbed,
    "ssh": SshTestbed,
    "pool": Pool,
}
PROVIDER_HELP = {
    "uml": "the lab on this computer",
    "qemu": "guests on this computer, with Debian's own kernels",
    "ssh": "hosts that are reached by SSH",
    "pool": "several testbeds that share a run",
}


def members_of(testbed: Testbed | Pool) -> tuple[Testbed, ...]:
    """The testbeds of a pool; of another testbed, itself alone."""
    return testbed.members if isinstance(testbed, Pool) else (testbed,)


def clock_of(testbed: Testbed | Pool) -> Clock:
    """The clock by which a testbed's trials are timed; of a pool, that of its testbeds, which have the same."""
    first = members_of(testbed)[0]
    return first.clock if isinstance(first, UmlTestbed) else REAL_CLOCK


def crossing_links(hosts: Sequence[Host], host: Host) -> list[Link]:
    """The links of a host whose other end is another host, in the order of LINKS."""
    placed = {role for other in hosts for role in other.roles}
    return [link for link, roles in LINKS.items() if set(roles) <= placed and len(set(roles) & set(host.roles)) == 1]
