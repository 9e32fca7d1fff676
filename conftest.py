"""The plugins of the suite, and nothing else."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.isolation",
    "fixtures.selection",
    "fixtures.injection",
    "fixtures.measure",
    "fixtures.expectations",
    "fixtures.models",
    "reports.recorder",
]
