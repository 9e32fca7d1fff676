"""The plugins of the suite, and nothing else."""

pytest_plugins = [
    "reports.recorder",
    "fixtures.options",
    "fixtures.isolation",
    "fixtures.scheduling",
    "fixtures.selection",
    "fixtures.expectations",
    "fixtures.injection",
    "fixtures.measure",
    "fixtures.models",
    "fixtures.guide",
    "fixtures.hypothesis_profiles",
]
