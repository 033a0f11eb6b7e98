# SPDX-License-Identifier: Apache-2.0
"""Specs: experiments and testbeds, read from YAML files and validated. Every error has its location."""

from orchestrator.spec.catalog import AUTO
from orchestrator.spec.cells import Cell
from orchestrator.spec.claims import Claim, ClaimTest, load_claim
from orchestrator.spec.experiment import Experiment, Factors
from orchestrator.spec.factors import Factor, Level, factor_of
from orchestrator.spec.fields import IMIX, MAX, MOST_TUNNELS, MOST_VIRTUAL_CPUS
from orchestrator.spec.known_tools import TOOLS, read_traffic, tool_of
from orchestrator.spec.limits import LIMIT_NAMES, REKEY_AFTER_S, REKEY_MARGIN_S, Limits
from orchestrator.spec.loading import check_file, load_experiment, load_testbed
from orchestrator.spec.own_probes import Probe
from orchestrator.spec.own_tools import NumberPattern, OwnQuantity
from orchestrator.spec.problems import Problem, SpecError
from orchestrator.spec.providers import PROVIDERS
from orchestrator.spec.role_cpus import (
    EQUAL_ENDS,
    HALF_ENDS,
    MOST_CORES_OF_OWN,
    MOST_MACHINE_CPUS,
    OWN_CPUS,
    RSS,
    SHARED_CPUS,
    STEERED,
    VETH,
    Ends,
    LinkKind,
    RoleCpus,
    groups,
    machine_cpus,
)
from orchestrator.spec.schema import claim_schema, experiment_schema, testbed_schema
from orchestrator.spec.searching import Latency, Search
from orchestrator.spec.systems import SYSTEMS
from orchestrator.spec.testbed import (
    GATEWAYS,
    LINKS,
    REAL_CLOCK,
    ROLES,
    VIRTUAL_CLOCK,
    Clock,
    Host,
    Link,
    Pool,
    Role,
    Testbed,
    clock_of,
    crossing_links,
    members_of,
)
from orchestrator.spec.traffic import AddressedTraffic, Traffic
from orchestrator.spec.tuning import Tuning

__all__ = [
    "AUTO",
    "EQUAL_ENDS",
    "GATEWAYS",
    "HALF_ENDS",
    "IMIX",
    "LIMIT_NAMES",
    "LINKS",
    "MAX",
    "MOST_CORES_OF_OWN",
    "MOST_MACHINE_CPUS",
    "MOST_TUNNELS",
    "MOST_VIRTUAL_CPUS",
    "OWN_CPUS",
    "PROVIDERS",
    "REAL_CLOCK",
    "REKEY_AFTER_S",
    "REKEY_MARGIN_S",
    "ROLES",
    "RSS",
    "SHARED_CPUS",
    "STEERED",
    "SYSTEMS",
    "TOOLS",
    "VETH",
    "VIRTUAL_CLOCK",
    "AddressedTraffic",
    "Cell",
    "Claim",
    "ClaimTest",
    "Clock",
    "Ends",
    "Experiment",
    "Factor",
    "Factors",
    "Host",
    "Latency",
    "Level",
    "Limits",
    "Link",
    "LinkKind",
    "NumberPattern",
    "OwnQuantity",
    "Pool",
    "Probe",
    "Problem",
    "Role",
    "RoleCpus",
    "Search",
    "SpecError",
    "Testbed",
    "Traffic",
    "Tuning",
    "check_file",
    "claim_schema",
    "clock_of",
    "crossing_links",
    "experiment_schema",
    "factor_of",
    "groups",
    "load_claim",
    "load_experiment",
    "load_testbed",
    "machine_cpus",
    "members_of",
    "read_traffic",
    "testbed_schema",
    "tool_of",
]
