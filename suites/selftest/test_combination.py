"""A configuration that names others under `with` stands for its combinations with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matrix.cell import Requirement
from matrix.combination import combine
from matrix.errors import UserError
from suites.selftest.samples import configuration

FAMILY = configuration(
    "spread", suite="placement", builder="placement", options={"device_map": "auto"}, platforms=("cuda",),
    dtypes={"fp32": "full", "bf16": "quick"}, requires=Requirement(packages=("accelerate",), gpus=2), combined=("flash",),
)  # fmt: skip
FLASH = configuration(
    "flash", options={"implementation": "flash_attention_2"}, dtypes={"bf16": "full", "fp16": "full"},
    requires=Requirement(packages=("flash-attn",), capability="8.0", gpus=0),
)  # fmt: skip


def combined() -> dict[str, object]:
    made = combine({"flash": FLASH, "spread": FAMILY})["spread-flash"]
    return {
        name: getattr(made, name) for name in ("suite", "builder", "options", "platforms", "dtypes", "requires", "combined")
    }


def test_a_combination_is_what_the_family_is_about_with_the_options_of_both() -> None:
    expected = {
        "suite": "placement", "builder": "placement", "platforms": ("cuda",), "dtypes": {"bf16": "full"},
        "options": {"placement": {"device_map": "auto"}, "attention": {"implementation": "flash_attention_2"}},
        "requires": Requirement(packages=("accelerate", "flash-attn"), capability="8.0", gpus=2),
        "combined": ("spread", "flash"),
    }  # fmt: skip

    assert expected == combined()


def test_a_family_gives_way_to_its_combinations() -> None:
    assert ["flash", "spread-flash"] == list(combine({"flash": FLASH, "spread": FAMILY}))


def test_a_family_is_of_the_quick_tier_with_some_of_the_others() -> None:
    quick = configuration("quick", dtypes={"bf16": "quick"})
    family = replace(FAMILY, combined=("quick", "slow"), quick_with=("qui*",))
    made = combine({"quick": quick, "slow": replace(quick, name="slow"), "spread": family})

    assert ({"bf16": "quick"}, {"bf16": "full"}) == (made["spread-quick"].dtypes, made["spread-slow"].dtypes)


def test_the_quick_tier_is_not_asked_for_what_a_family_is_not_combined_with() -> None:
    with pytest.raises(UserError, match=r"spread\.quick_with holds 'sdpa', which matches none of `with`: flash"):
        combine({"flash": FLASH, "spread": replace(FAMILY, quick_with=("sdpa",))})


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({}, "configuration.spread.with holds 'flash', accepted: "),
        ({"flash": FLASH, "spread-flash": configuration("spread-flash")}, "makes spread-flash, which is there already"),
    ],
)
def test_a_name_that_leads_nowhere_or_twice_is_refused(others: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        combine({**others, "spread": FAMILY})  # type: ignore[dict-item]
