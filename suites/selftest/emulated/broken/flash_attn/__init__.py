"""A flash-attn that was built for another torch: its extension asks for a symbol that this one does not have."""

raise ImportError("flash_attn_2_cuda.cpython-312-x86_64-linux-gnu.so: undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationE")
