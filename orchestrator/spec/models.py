# SPDX-License-Identifier: Apache-2.0
"""The models of specs with keys that are not known beforehand: those of a tool that is no part of this program, and
settings of hosts that are factors."""

import functools
from dataclasses import dataclass
from typing import Any

from pydantic import Field, create_model

from orchestrator.spec import experiment as own
from orchestrator.spec.fields import Name
from orchestrator.spec.traffic import Traffic, tier_traffic


@dataclass(frozen=True)
class Models:
    """What describes a spec and its parts."""

    experiment: type[own.Experiment]
    factors: type[own.Factors]
    rule: type[own.Rule]
    extra: type[own.ExtraCell]
    traffic: type[Traffic]


@functools.cache
def models_of(schema: type[Traffic], settings: tuple[str, ...] = ()) -> Models:
    """The models of specs with a tool that has this schema. ``settings``: the paths of settings that are factors."""
    if schema is Traffic and not settings:
        return Models(own.Experiment, own.Factors, own.Rule, own.ExtraCell, Traffic)
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
    experiment: Any = create_model(
        "Experiment",
        __base__=own.Experiment,
        __doc__=own.Experiment.__doc__,
        factors=(factors, ...),
        exclude=(rules, ()),
        include=(extras, ()),
        traffic=(schema, ...),
        tiers=(dict[Name, tier], Field(default={}, exclude=True)),
    )
    return Models(experiment, factors, rule, extra, schema)
