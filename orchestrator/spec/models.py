# SPDX-License-Identifier: Apache-2.0
"""The models of specs with keys that depend on the spec: those of its tool, and host settings that are factors."""

import functools
from dataclasses import dataclass
from typing import Any

from pydantic import Field, create_model

from orchestrator.spec import experiment as own
from orchestrator.spec.fields import Name
from orchestrator.spec.known_tools import tier_traffic
from orchestrator.spec.traffic import Traffic


@dataclass(frozen=True)
class Models:
    """The models of a spec and its parts."""

    experiment: type[own.Experiment]
    factors: type[own.Factors]
    rule: type[own.Rule]
    extra: type[own.ExtraCell]
    traffic: type[Traffic]


@functools.cache
def models_of(schema: type[Traffic], settings: tuple[str, ...] = ()) -> Models:
    """Return the models of specs whose tool has this schema; `Traffic` stands for any of this program's tools.

    ``settings``: the paths of settings that are factors.
    """
    factors, rule, extra, tier_factors = own.varied_models(schema, settings)
    several: Any = tuple
    rules, extras = several[rule, ...], several[extra, ...]
    tier: Any = create_model(
        "Tier",
        __base__=own.Tier,
        __doc__=own.Tier.__doc__,
        factors=(tier_factors | None, None),
        exclude=(rules | None, None),
        include=(extras | None, None),
        traffic=(tier_traffic(schema) | None, None),
    )
    described: dict[str, Any] = {} if schema is Traffic else {"traffic": (schema, ...)}
    experiment: Any = create_model(
        "Experiment",
        __base__=own.Experiment,
        __doc__=own.Experiment.__doc__,
        factors=(factors, ...),
        exclude=(rules, ()),
        include=(extras, ()),
        **described,
        tiers=(dict[Name, tier], Field(default={}, exclude=True)),
    )
    return Models(experiment, factors, rule, extra, schema)
