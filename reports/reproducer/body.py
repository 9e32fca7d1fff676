"""The part of a script that is about its check: text in which ``$NAME`` stands for a definition of fixtures/reproduction.py or
fixtures/accuracy.py, or for a value of :func:`values`."""

from __future__ import annotations

import ast
import pprint
import re
from collections.abc import Iterator
from typing import Any, Final

from matrix.cell import ALONE, Cell, Workload
from matrix.errors import UserError
from matrix.expand import masks_of, promised
from matrix.kernels import load_kernels
from reports.document import shown
from reports.reproducer.case import CALL, Case
from reports.versions import versions

DTYPES: Final = {"fp32": "torch.float32", "bf16": "torch.bfloat16", "fp16": "torch.float16"}
SETUP: Final = """\
CONFIG = $config
WEIGHTS = {name: $on_grid(value) for name, value in $generator(CONFIG, $Draw(seed=$seed)).items()}
FOLDER = $save_checkpoint(WEIGHTS, CONFIG)
ROWS = [$tokens_of(CONFIG, row, length) for row, length in enumerate($lengths)]
DEVICE = '$device'


def load(**options):
    model = $auto.from_pretrained(FOLDER.name, use_safetensors=True, **options)
    return model.to(DEVICE).eval()


def judged():
    model = load($options)$switch
    return model


def eager(dtype):
    return load(dtype=dtype, attn_implementation='eager'$experts)
"""
RUN: Final = """\


def run(model):
    return $schedule
"""
CORRECT: Final = """
with torch.inference_mode()$held:
    rows = run(judged())
with torch.inference_mode():
    exact = eager(torch.float32)
    reference = $reference
    scale = $scale
return $close($joined(rows), reference, $limit(scale, '$short'))
"""
EAGER: Final = """
with torch.inference_mode():
    rows = run(judged())
    exact = eager(torch.float32)
    reference = $reference
return $close($joined(rows), reference, $eager_limit('$short', $layers))
"""
ORACLE: Final = """
with torch.inference_mode():
    rows = run(judged())
independent = $oracle(CONFIG, {name: value.astype(np.float64) for name, value in WEIGHTS.items()})
return $close($joined(rows), $by_oracle(independent, rows, $pad), $Error(rms=$ORACLE_LIMIT, worst=$ORACLE_LIMIT))
"""
INVARIANT: Final = """
model = judged()
with torch.inference_mode()$held:
    rows = run(model)
    alone = $whole
$yardstick
limit = $limit($capped(scale, '$short', $layers), '$short')
return $close($joined(rows), alone, limit)"""
GREEDY: Final = " and $greedy(rows, alone, limit)"
MEASURED: Final = """\
with torch.inference_mode():
    exact = eager(torch.float32)
    reference = $reference
    scale = $scale"""
ATTENTIONS: Final = """
with torch.inference_mode():
    seen, expected = $attentions(judged(), ROWS[0]), $attentions(eager($dtype), ROWS[0])
print(f'{len(seen)} layers of attention weights, eager returns {len(expected)}')
if [layer.shape for layer in seen] != [layer.shape for layer in expected]:
    return False
return $close(np.concatenate(seen), np.concatenate(expected), $limit($Error(rms=0.0, worst=0.0), '$short'))
"""
SWITCHES: Final = """
model = judged()
if not $built_as_asked(model, '$asked', $dtype):
    return False
model.set_attn_implementation('$before')
with torch.inference_mode():
    undone, expected = $joined($alone(model, ROWS)), $joined($alone(eager($dtype), ROWS))
print(f'switched back, {int((undone != expected).sum())} of {expected.size} logits differ')
return bool((undone == expected).all())
"""
BUILDS: Final = """
return $built_as_asked(judged(), '$asked', $dtype)
"""
REFUSES: Final = """
def ask():
    with torch.inference_mode()$held:
        return $asking

return $refused(ask, $words)
"""
DISPATCH: Final = """
model = judged()
with torch.inference_mode()$held:
    $step
    names = $executed(lambda: $step)
return $dispatched(names, $promised, $others)
"""
CALLED: Final = """\
CALL = $failing
"""
CALLS: Final = """
print(CALL)
return $call_agrees(CALL, $backends, '$device')
"""
SHORT: Final = Workload(
    name="", summary="", tier="quick", schedule="prefill", lengths=(24, 24), padding="none", steps=0, chunks=(), cache="none",
    tasks=(), dtypes=(), invariant="causal",
)  # fmt: skip
# As fixtures/judgement.py has them, which looks at dispatch, at attention weights and at switching on these rows.
LENGTHS: Final = {"dispatch[padded-prefill]": [24, 9], "switches": [48], "attentions": [24]}


def setup(case: Case) -> str:
    """Everything above the check."""
    if case.check.kind == "calls":
        return CALLED
    runs = case.check.kind in ("correct", "invariant") or (case.check.kind == "refuses" and case.check.workload is not None)
    return SETUP + (RUN if runs else "")


def body(case: Case) -> str:
    """The lines of the check."""
    cell = case.check.cell
    if case.check.kind == "correct" and cell.configuration.name == "eager":
        return ORACLE if cell.dtype == "fp32" else EAGER
    if case.check.kind == "invariant":
        generates = case.check.workload is not None and case.check.workload.schedule == "generate"
        return INVARIANT + (GREEDY if generates else "") + "\n"
    return {
        "correct": CORRECT, "attentions": ATTENTIONS, "switches": SWITCHES, "builds": BUILDS, "refuses": REFUSES,
        "dispatch": DISPATCH, "calls": CALLS,
    }[case.check.kind]  # fmt: skip


def values(case: Case) -> dict[str, str]:
    """What the names in the text stand for that are no definitions; some of them name definitions again."""
    check, cell = case.check, case.check.cell
    if check.kind == "calls":
        return _call(case)
    options, workload = cell.configuration.options, check.workload or SHORT
    return {
        "config": pprint.pformat(dict(cell.model.config), width=110, compact=True, sort_dicts=False),
        "seed": str(cell.model.seed), "layers": str(cell.model.layers), "short": cell.dtype, "dtype": DTYPES[cell.dtype],
        "lengths": str(_lengths(case, workload)), "pad": str(cell.model.config.get("pad_token_id") or 0),
        "device": "cpu" if cell.platform == "cpu" else "cuda",
        "auto": "AutoModelForCausalLM" if cell.model.task == "causal-lm" else "AutoModelForSequenceClassification",
        "options": _options(case), "experts": _experts(case),
        "switch": f"\n    model.set_attn_implementation({options['switch_to']!r})" if "switch_to" in options else "",
        "asked": options.get("switch_to") or options.get("implementation", ""), "before": options.get("implementation", ""),
        "held": _held(list(options.get("backends", ()))), "schedule": _schedule(cell, workload),
        "reference": _reference(workload), "yardstick": "scale = $scale" if cell.dtype == "fp32" else MEASURED,
        "scale": _scale(case, workload), "whole": _whole(cell),
        "asking": "run(judged())" if check.workload else "judged()",
        "words": repr(check.refusal.error) if check.refusal else "", **_dispatch(case),
    }  # fmt: skip


def _call(case: Case) -> dict[str, str]:
    cell = case.check.cell
    return {
        "failing": _literal(str(case.record.evidence[CALL]), case.record.id),
        "backends": repr(list(cell.configuration.options.get("backends", ()))),
        "device": "cpu" if cell.platform == "cpu" else "cuda",
    }


def _literal(text: str, id: str) -> str:
    """A call as it is written in a record, if it is one: nothing else out of a record becomes code.

    Raises:
        UserError: it is anything but Call(...) and Mask(...) of constants.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        tree = ast.Constant(None)
    if not _is_call(tree):
        raise UserError(f"{id}: its {CALL} is {shown(text)}, a call of constants is accepted: Call(batch=1, ...)")
    return re.sub(r"\b(Call|Mask)\(", r"$\1(", ast.unparse(tree))


def _is_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ("Call", "Mask"):
        return False
    return not node.args and all(_is_call(item.value) or _is_number(item.value) for item in node.keywords)


def _is_number(node: ast.AST) -> bool:
    """A constant, or one with a sign."""
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _held(backends: list[str]) -> str:
    return f", $held_to({backends})" if backends else ""


def _lengths(case: Case, workload: Workload) -> list[int]:
    special = LENGTHS.get(case.record.id.partition("::")[2])
    steps = 0 if workload.schedule == "generate" else workload.steps
    return special or [length + steps for length in workload.lengths]


def _options(case: Case) -> str:
    options = case.check.cell.configuration.options
    given = [f"dtype={DTYPES[case.check.cell.dtype]}"] if options.get("declare_dtype", True) else []
    given += [f"attn_implementation={options['implementation']!r}"] if options.get("implementation") else []
    return ", ".join(given) + (_experts(case) if options.get("implementation") == "eager" else "")


def _experts(case: Case) -> str:
    """Since 5.0 transformers takes a grouped product for a mixture of experts by default, and eager asks for the plain loop."""
    major = versions(case.run).get("transformers", "").partition(".")[0]
    routed = "expert-routing" in case.check.cell.model.features
    return ", experts_implementation='eager'" if routed and major.isdigit() and int(major) >= 5 else ""


def _schedule(cell: Cell, workload: Workload) -> str:
    """The call that runs a workload on ``model``."""
    pad = cell.model.config.get("pad_token_id") or 0
    batch = f"model, ROWS, {workload.padding!r}, {pad}"
    if cell.model.task != "causal-lm":
        each = f"[found for row in ROWS for found in $classify(model, [row], 'none', {pad})]"
        return each if workload.schedule == "alone" else f"$classify({batch})"
    static = f", $static_cache(model, {len(workload.lengths)}, {max(workload.lengths) + workload.steps + 16})"
    packed = f"$packed(model, ROWS, lengths={workload.schedule == 'packed-lengths'})"
    return {
        "prefill": f"$prefill({batch})", "alone": "$alone(model, ROWS)", "packed": packed, "packed-lengths": packed,
        "decode": f"$decode({batch}, {workload.steps}{static if workload.cache == 'static' else ''})",
        "chunked": f"$chunked(model, ROWS[0], {list(workload.chunks)})", "generate": f"$generate({batch}, {workload.steps})",
    }[workload.schedule]  # fmt: skip


def _reference(workload: Workload) -> str:
    """Eager fp32 at the same positions; it runs packed rows alone, because not every model tells them apart."""
    if workload.schedule == "generate":
        return "$recomputed(exact, rows, run(exact))"
    return "$joined($alone(exact, ROWS))" if workload.schedule.startswith("packed") else "$joined(run(exact))"


def _scale(case: Case, workload: Workload) -> str:
    """How wrong eager attention is: in fp32 what the run measured against a float64 oracle, else measured by the script."""
    errors, cell = case.record.errors, case.check.cell
    if cell.dtype == "fp32":
        if "rms_eager" in errors and "worst_eager" in errors:
            measured = f"$Error(rms={errors['rms_eager']!r}, worst={errors['worst_eager']!r})"
            return f"{measured}  # of eager fp32 against a float64 oracle"
        return f"$eager_limit('fp32', {cell.model.layers})"
    same = f"eager({DTYPES[cell.dtype]})"
    if workload.schedule == "generate":
        return f"$own_error(exact, run({same}), run(exact))"
    rows = f"$alone({same}, ROWS)" if workload.schedule.startswith("packed") else f"run({same})"
    return f"$error($joined({rows}), reference)"


def _whole(cell: Cell) -> str:
    pad = cell.model.config.get("pad_token_id") or 0
    if cell.model.task != "causal-lm":
        return f"$joined([found for row in ROWS for found in $classify(model, [row], 'none', {pad})])"
    return f"$alone_at(model, CONFIG, rows, {ALONE})"


def _dispatch(case: Case) -> dict[str, str]:
    check, table = case.check, load_kernels()
    if check.kind != "dispatch":
        return {}
    cell, pad = check.cell, check.cell.model.config.get("pad_token_id") or 0
    families = promised(cell, check.subject, masks=masks_of(check.subject))
    side = "left" if cell.model.task == "causal-lm" else "right"
    call = "$prefill" if cell.model.task == "causal-lm" else "$classify"
    step = f"$decode(model, ROWS, {side!r}, {pad}, 1)" if check.subject == "decode" else f"{call}(model, ROWS, {side!r}, {pad})"
    return {
        "step": step,
        "promised": repr(list(_patterns(families, cell.platform))),
        "others": repr(
            list(
                _patterns([family.name for family in table.families if family.name not in (*families, "eager")], cell.platform)
            )
        ),
    }


def _patterns(names: Any, platform: str) -> Iterator[str]:
    """How the operators of families are called, and where one has none of its own its kernels."""
    for family in load_kernels().families:
        rules = [rule.pattern for rule in family.operators if platform in rule.platforms]
        rules = rules or [rule.pattern for rule in family.kernels if platform in rule.platforms and not rule.needs_operator]
        if family.name in names and family.computes == "attention":
            yield from rules
