"""Packages that need a GPU, emulated in plain PyTorch, so that the suite's own tests see their configurations on a CPU.

``site`` is a folder as pip fills it: modules and their metadata; ``broken`` is one whose module cannot be imported.
"""
