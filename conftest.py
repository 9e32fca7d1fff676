"""The plugins of the suite, and nothing else."""

pytest_plugins = [
    "reports.recorder",
    "fixtures.options",
    "fixtures.isolation",
    "fixtures.readiness",
    "fixtures.scheduling",
    "fixtures.selection",
    "fixtures.expectations",
    "fixtures.injection",
    "fixtures.measure",
    "fixtures.models",
    "fixtures.guide",
    "fixtures.discretion",
    "fixtures.resume",
    "fixtures.limits",
    "fixtures.worker",
    "fixtures.warden",
    "fixtures.quantization.reference",
    "fixtures.placement.sameness",
    "fixtures.hypothesis_profiles",
]
