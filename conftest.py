"""The plugins of the suite, and nothing else."""

pytest_plugins = [
    "reports.recorder",
    "fixtures.options",
    "fixtures.isolation",
    "fixtures.selection",
    "fixtures.expectations",
    "fixtures.injection",
    "fixtures.measure",
    "fixtures.models",
    "fixtures.quantization.reference",
    "fixtures.hypothesis_profiles",
]
