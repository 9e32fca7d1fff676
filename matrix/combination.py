"""Configurations that stand for a family: one of their own with each of those that they name under ``with``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from matrix.cell import TIERS, Configuration, Requirement
from matrix.errors import UserError


def combine(configurations: Mapping[str, Configuration]) -> dict[str, Configuration]:
    """Every configuration by name; one with ``with`` gives way to its combinations, named ``<its own>-<the other>``.

    Raises:
        UserError: another is named that does not exist or is a family itself, or a combination has the name of something else.
    """
    found: dict[str, Configuration] = {}
    for name, configuration in configurations.items():
        for made in _combinations(configuration, configurations) if configuration.combined else (configuration,):
            if made.name in found or (made.name != name and made.name in configurations):
                raise UserError(f"configurations.toml: configuration.{name}.with makes {made.name}, which is there already")
            found[made.name] = made
    return found


def _combinations(family: Configuration, configurations: Mapping[str, Configuration]) -> list[Configuration]:
    accepted = [name for name, entry in configurations.items() if not entry.combined]
    for other in family.combined:
        if other not in accepted:
            raise UserError(
                f"configurations.toml: configuration.{family.name}.with holds {other!r}, accepted: {', '.join(accepted)}"
            )
    for pattern in family.quick_with:
        if not any(fnmatchcase(other, pattern) for other in family.combined):
            raise UserError(
                f"configurations.toml: configuration.{family.name}.quick_with holds {pattern!r}, which matches none of `with`: "
                f"{', '.join(family.combined)}"
            )
    return [_combination(family, configurations[other]) for other in family.combined]


def _combination(family: Configuration, other: Configuration) -> Configuration:
    """What the family is about in the other's hands: its checks, models and workloads; only where both run, and in the quick
    tier only where the family is with this one.
    """
    quick = any(fnmatchcase(other.name, pattern) for pattern in family.quick_with)
    least = "quick" if quick else "full"
    tiers = {dtype: (tier, other.dtypes[dtype], least) for dtype, tier in family.dtypes.items() if dtype in other.dtypes}
    return replace(
        family,
        name=f"{family.name}-{other.name}",
        summary=f"{family.summary}, with {other.name}: {other.summary}",
        options={family.builder: dict(family.options), other.builder: dict(other.options)},
        platforms=tuple(platform for platform in family.platforms if platform in other.platforms),
        dtypes={dtype: max(each, key=TIERS.index) for dtype, each in tiers.items()},
        requires=_both(family.requires, other.requires),
        combined=(family.name, other.name),
    )


def _both(one: Requirement, other: Requirement) -> Requirement:
    return Requirement(
        packages=tuple(dict.fromkeys((*one.packages, *other.packages))),
        capability=max(one.capability, other.capability, key=_number),
        gpus=max(one.gpus, other.gpus),
        variables=dict(one.variables) | dict(other.variables),
    )


def _number(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split(".") if part)
