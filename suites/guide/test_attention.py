"""The guide's snippets on attention do what the guide says."""

from __future__ import annotations

import pytest

from fixtures.guide import Guide
from matrix.cell import Check

PROMPT = "A llama walked up the hill"


@pytest.mark.check("guide", "guide", "sdpa-at-load")
def test_sdpa_is_asked_for_at_load(check: Check, guide: Guide) -> None:
    """attn_implementation="sdpa" in from_pretrained."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(guide.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(guide.checkpoint, device_map="auto", attn_implementation="sdpa")
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    outputs = guide.executes(lambda: model.generate(**inputs))

    guide.took(model, "sdpa")
    guide.answered(tokenizer.decode(outputs[0], skip_special_tokens=True), PROMPT)


@pytest.mark.check("guide", "guide", "sdpa-switched")
def test_loaded_model_is_switched_to_sdpa(check: Check, guide: Guide) -> None:
    """The guide spells the method set_attention_implementation; the run says what it is called."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(guide.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(guide.checkpoint, device_map="auto", attn_implementation="eager")
    guide.switched(model, "sdpa", "set_attention_implementation")
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    outputs = guide.executes(lambda: model.generate(**inputs))

    guide.took(model, "sdpa")
    guide.answered(tokenizer.decode(outputs[0], skip_special_tokens=True), PROMPT)


@pytest.mark.check("guide", "guide", "sdpa-kernel")
def test_generation_is_held_to_one_backend(check: Check, guide: Guide) -> None:
    """sdpa_kernel(SDPBackend.FLASH_ATTENTION) around generate, on a model loaded without an implementation."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(guide.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(guide.checkpoint, device_map="auto")
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        outputs = guide.executes(lambda: model.generate(**inputs))

    guide.took(model, "sdpa")
    guide.answered(tokenizer.decode(outputs[0], skip_special_tokens=True), PROMPT)


@pytest.mark.check("guide", "guide", "flash-attention-at-load")
def test_flash_attention_is_asked_for_at_load(check: Check, guide: Guide) -> None:
    """attn_implementation="flash_attention_2" and a dtype that it takes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(guide.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(
        guide.checkpoint, device_map="auto", dtype=torch.bfloat16, attn_implementation="flash_attention_2"
    )
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    outputs = guide.executes(lambda: model.generate(**inputs))

    guide.took(model, "flash_attention_2")
    guide.answered(tokenizer.decode(outputs[0], skip_special_tokens=True), PROMPT)


@pytest.mark.check("guide", "guide", "flash-attention-switched")
def test_loaded_model_is_switched_to_flash_attention(check: Check, guide: Guide) -> None:
    """The same method as for sdpa, in the guide's spelling where it exists."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(guide.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(guide.checkpoint, device_map="auto", dtype=torch.bfloat16)
    guide.switched(model, "flash_attention_2", "set_attention_implementation")
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    outputs = guide.executes(lambda: model.generate(**inputs))

    guide.took(model, "flash_attention_2")
    guide.answered(tokenizer.decode(outputs[0], skip_special_tokens=True), PROMPT)
