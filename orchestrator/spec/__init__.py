# SPDX-License-Identifier: Apache-2.0
"""Specs: experiments and testbeds as their YAML files describe them, checked, with the place of every mistake."""

from orchestrator.spec.catalog import AUTO
from orchestrator.spec.claims import Claim, ClaimTest, load_claim
from orchestrator.spec.experiment import Experiment, Factors
from orchestrator.spec.fields import IMIX, MAX, MOST_TUNNELS, MOST_VIRTUAL_CPUS
from orchestrator.spec.limits import LIMIT_NAMES, REKEY_AFTER_S, REKEY_MARGIN_S, Limits
from orchestrator.spec.loading import check_file, load_experiment, load_testbed
from orchestrator.spec.problems import Problem, SpecError
from orchestrator.spec.schema import claim_schema, experiment_schema, testbed_schema
from orchestrator.spec.searching import Latency, Search
from orchestrator.spec.testbed import (
    GATEWAYS,
    LINKS,
    PROVIDERS,
    REAL_CLOCK,
    ROLES,
    VIRTUAL_CLOCK,
    Clock,
    Host,
    Link,
    Pool,
    QemuHost,
    QemuTestbed,
    Role,
    SshHost,
    SshTestbed,
    Testbed,
    UmlHost,
    UmlTestbed,
    clock_of,
    crossing_links,
    members_of,
)
from orchestrator.spec.traffic import Traffic, read_traffic
from orchestrator.spec.tuning import Tuning

__all__ = [
    "AUTO",
    "GATEWAYS",
    "IMIX",
    "LIMIT_NAMES",
    "LINKS",
    "MAX",
    "MOST_TUNNELS",
    "MOST_VIRTUAL_CPUS",
    "PROVIDERS",
    "REAL_CLOCK",
    "REKEY_AFTER_S",
    "REKEY_MARGIN_S",
    "ROLES",
    "VIRTUAL_CLOCK",
    "Claim",
    "ClaimTest",
    "Clock",
    "Experiment",
    "Factors",
    "Host",
    "Latency",
    "Limits",
    "Link",
    "Pool",
    "Problem",
    "QemuHost",
    "QemuTestbed",
    "Role",
    "Search",
    "SpecError",
    "SshHost",
    "SshTestbed",
    "Testbed",
    "Traffic",
    "Tuning",
    "UmlHost",
    "UmlTestbed",
    "check_file",
    "claim_schema",
    "clock_of",
    "crossing_links",
    "experiment_schema",
    "load_claim",
    "load_experiment",
    "load_testbed",
    "members_of",
    "read_traffic",
    "testbed_schema",
]
