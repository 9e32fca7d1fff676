"""A configuration is what its user asked for once it is built."""

from __future__ import annotations

import pytest

from fixtures.builders import Built
from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.transformers_api import torch_dtype
from matrix.cell import Check


@pytest.mark.check("builds", "attention")
def test_model_is_built_as_asked(check: Check, built: Built, measure: Measurement) -> None:
    """Implementation, dtype and device of every parameter are the ones that were asked for."""
    measure.evidence(asked=built.asked, configured=built.configured, said=list(built.said))
    measure.memory(footprint=built.model.get_memory_footprint())
    if built.asked and built.configured != built.asked:
        raise Finding(
            "other-implementation",
            f"attn_implementation={built.asked!r} was asked for and the model's config says "
            f"{built.configured!r}; the library said: {'; '.join(built.said) or 'nothing'}",
        )

    dtype = torch_dtype(check.cell.dtype)
    strays = [f"{name} ({parameter.dtype} on {parameter.device})" for name, parameter in built.model.named_parameters()
              if parameter.device.type != built.device or parameter.dtype != dtype]  # fmt: skip

    if strays:
        raise Finding(
            "stray-parameters", f"{len(strays)} parameters are not {dtype} on {built.device}: {', '.join(strays[:3])}"
        )
