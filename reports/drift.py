"""What differs between two records of a check that holds in both: errors inside the tolerance, kernels, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reports.record import Record
from reports.statistics import Trend, growth, metrics, size, trend
from reports.thresholds import Threshold, Thresholds
from reports.verdict import Finding, Kind

_KINDS = {
    Trend.GREW: Kind.REGRESSED,
    Trend.BROKE: Kind.REGRESSED,
    Trend.SHRANK: Kind.IMPROVED,
    Trend.MENDED: Kind.IMPROVED,
}


def findings(before: Record, after: Record, thresholds: Thresholds) -> Iterator[Finding]:
    """Everything that differs by more than it may, and what the baseline measured and the candidate did not."""
    if before.evidence.get("calls") != after.evidence.get("calls"):
        yield Finding(
            kind=Kind.NOT_COMPARABLE,
            reason="other_calls",
            message="other calls were drawn: the generator or its profile changed",
        )
        return
    yield from _errors(before, after, thresholds)
    yield from _executed(before, after)
    yield from _bits(before, after)
    yield from _inputs(before, after)
    yield from _dispatch(before, after, thresholds)
    yield from _memory(before, after, thresholds)
    yield from _new_places(before, after, thresholds)


def _errors(before: Record, after: Record, thresholds: Thresholds) -> Iterator[Finding]:
    threshold = thresholds.errors.get(after.dtype, thresholds.errors["fp32"])
    now = metrics(after)
    for name, was in metrics(before).items():
        if name not in now:
            yield _lost(f"the {name} error", "error_missing")
        elif loosened := _loosened(name, before, after, threshold):
            yield loosened
        elif (way := trend(was, now[name], threshold)) is not Trend.STEADY:
            reason = "error_not_finite" if way is Trend.BROKE else f"{name}_error"
            message = _error_sentence(name, was, now[name], after)
            yield Finding(kind=_KINDS[way], reason=reason, message=message, size=size(was, now[name]))


def _loosened(name: str, before: Record, after: Record, threshold: Threshold) -> Finding | None:
    """A pass that the recorded numbers do not bear out, or that a much larger tolerance allowed."""
    was, now = (record.errors.get(f"{name}_tolerance") for record in (before, after))
    if now is None:
        return None
    if after.errors[name] > now and not (was is not None and before.errors[name] > was):
        message = f"recorded as passed with a {name} error of {after.errors[name]:.2e}, beyond its tolerance of {now:.2e}"
        return Finding(kind=Kind.NEWLY_FAILING, reason="beyond_tolerance", message=message)
    if was is not None and trend(was, now, threshold) in (Trend.GREW, Trend.BROKE):
        message = f"the tolerance of the {name} error went from {was:.2e} to {now:.2e}"
        return Finding(kind=Kind.REGRESSED, reason="tolerance_grew", message=message, size=size(was, now))
    return None


def _error_sentence(name: str, was: float, now: float, after: Record) -> str:
    limit = after.errors.get(f"{name}_tolerance")
    within = f" (tolerance {limit:.2e})" if limit is not None else ""
    times = f", {_times(was, now)}" if was and now else ""
    return f"{name} error went from {was:.2e} to {now:.2e}{times}{within}"


def _times(was: float, now: float) -> str:
    return f"{now / was:.3g} times as large" if now > was else f"{was / now:.3g} times smaller"


def _executed(before: Record, after: Record) -> Iterator[Finding]:
    """Of the same calls, as many must be computed and not declined."""
    was, now = before.evidence.get("executed"), after.evidence.get("executed")
    if isinstance(was, int) and isinstance(now, int) and now < was:
        message = f"computed {now} of the calls, {was} before: more are declined"
        yield Finding(kind=Kind.REGRESSED, reason="more_declined", message=message)


def _bits(before: Record, after: Record) -> Iterator[Finding]:
    """Of a model that is spread over devices: whether its bits were compared with the whole model's, and were the same."""
    for name, kind, reason, message in _BITS:
        was, now = before.evidence.get(name), after.evidence.get(name)
        if was is True and now is None:
            yield _lost("whether a model that is spread says the same bits", "bits_missing")
            return
        if was is True and now is False:
            yield Finding(kind=kind, reason=reason, message=message)
            return


# What rounding explains may be other bits each time.
_BITS = (
    ("to_the_bit", Kind.REGRESSED, "bits_not_compared", "the bits are no longer held to the whole model's, but to rounding"),
    ("same_bits", Kind.INCONCLUSIVE, "other_bits", "the bits were the whole model's, and are others that rounding explains"),
)


def _inputs(before: Record, after: Record) -> Iterator[Finding]:
    """On which device inputs may be: declined where they were answered is a loss."""
    was, now = before.evidence.get("inputs"), after.evidence.get("inputs")
    if not isinstance(was, Mapping):
        return
    if not isinstance(now, Mapping):
        yield _lost("what becomes of inputs on each device", "inputs_missing")
        return
    for device, how in was.items():
        if device not in now:
            continue  # a worker that is pinned to a GPU sees no other
        answered, answers = (str(each).startswith("the same answer") for each in (how, now[device]))
        if answered != answers:
            kind = Kind.REGRESSED if answered else Kind.IMPROVED
            yield Finding(kind=kind, reason="inputs", message=f"inputs on {device}: {how} before, {now[device]} now")


def _dispatch(before: Record, after: Record, thresholds: Thresholds) -> Iterator[Finding]:
    was, now = before.families, after.families
    if was is None or was == now:
        return
    if now is None:
        yield _lost("which kernels executed", "dispatch_missing")
        return
    yield Finding(
        kind=_dispatch_kind(was, now, thresholds),
        reason="dispatch",
        message=f"executes {_names(now)}, executed {_names(was)} before",
    )


def _dispatch_kind(was: frozenset[str], now: frozenset[str], thresholds: Thresholds) -> Kind:
    slow, slow_before = now & thresholds.unoptimized, was & thresholds.unoptimized
    if slow - slow_before or not now:
        return Kind.REGRESSED
    if slow_before - slow and now:
        return Kind.IMPROVED
    return thresholds.changed


def _memory(before: Record, after: Record, thresholds: Thresholds) -> Iterator[Finding]:
    for name, was in before.memory.items():
        kind = name.partition("@")[0]
        threshold = thresholds.memory.get(kind)
        if threshold is None or (kind == "loading_peak" and before.platform == "cpu"):
            continue  # on the CPU it is of all that the process has
        if name not in after.memory and not was:
            continue  # nothing was held there, by a GPU that not every process sees
        if name not in after.memory:
            yield _lost(_memory_name(name), f"{kind}_missing")
        elif (way := growth(was, now := after.memory[name], threshold)) is not Trend.STEADY:
            sentence = _memory_sentence(name, was, now)
            yield Finding(kind=_KINDS[way], reason=kind, message=sentence, size=size(was, now))


def _new_places(before: Record, after: Record, thresholds: Thresholds) -> Iterator[Finding]:
    """Places that hold something now, of a model that is spread and held nothing there."""
    spread = {name.partition("@")[0] for name in before.memory if "@" in name}
    for name, now in after.memory.items():
        kind, _, place = name.partition("@")
        threshold = thresholds.memory.get(kind)
        if place and kind in spread and name not in before.memory and threshold is not None and now > threshold.floor:
            message = f"{_memory_name(name)} is {in_bytes(now)}, the baseline has none of it"
            yield Finding(kind=Kind.INCONCLUSIVE, reason=f"{kind}_unknown_before", message=message)


_MEMORY_NAMES = {"footprint": "the memory footprint", "peak": "peak memory", "loading_peak": "peak memory while loading"}


def _memory_name(name: str) -> str:
    """``footprint``, or ``footprint@gpu-0`` for one place of a model that is spread over several."""
    kind, _, place = name.partition("@")
    return f"{_MEMORY_NAMES[kind]} on {place}" if place else _MEMORY_NAMES[kind]


def _memory_sentence(name: str, was: int, now: int) -> str:
    percent = f" by {100 * abs(now / was - 1):.1f} %" if was else ""
    return f"{_memory_name(name)} {'grew' if now > was else 'shrank'}{percent}, from {in_bytes(was)} to {in_bytes(now)}"


def in_bytes(amount: int) -> str:
    """An amount of memory as people read it."""
    for unit, unit_size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(amount) >= unit_size:
            return f"{amount / unit_size:.2f} {unit}"
    return f"{amount} B"


def _lost(what: str, reason: str) -> Finding:
    return Finding(kind=Kind.MISSING, reason=reason, message=f"the baseline recorded {what}, the candidate did not")


def _names(families: frozenset[str]) -> str:
    return " + ".join(sorted(families)) or "no known kernel"
