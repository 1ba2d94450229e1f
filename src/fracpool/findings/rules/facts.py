"""Rules about facts, which need no statistics: final sizes, and checks such as that of the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from fracpool.findings.rules.part import NOT_REPRODUCED, REPRODUCED, Part, need_runs
from fracpool.findings.scores import NotJudged, select, select_one
from fracpool.records.record import RecordError
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import number, size_text

# ---- sizes, and numbers of each run ----


def final_size(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    wanted = int(spec["size"])
    part.claimed = f"{wanted}×{wanted}"
    variant = select_one(experiment, spec["variant"])
    if not variant.sizes:
        raise NotJudged(f"{variant.name} has no map")
    final = variant.sizes[-1]
    part.seen = " → ".join(size_text(s) for s in variant.sizes)
    part.numbers = {"variant": variant.name, "final_height": final[0], "final_width": final[1], "claimed": wanted}
    part.verdict = REPRODUCED if final == (wanted, wanted) else NOT_REPRODUCED
    part.reason = f"{variant.name} ends at {size_text(final)}"


def check(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    metric, limit, above = str(spec["metric"]), spec["limit"], bool(spec.get("above", False))
    variants = select(experiment, spec.get("variant") or {})
    need_runs(experiment)
    values, limits, ended_badly = [], [], 0
    for record in chain.from_iterable(results.records_of(experiment, variant) for variant in variants):
        if record.status != "completed":
            ended_badly += 1
            continue
        try:
            metrics = record.data["metrics"]
            value = number(metrics.get(metric), metric)
            bound = number(metrics.get(limit) if isinstance(limit, str) else limit, "limit")
        except (RecordError, AttributeError) as error:
            part.notes.append(f"{record.run_id}: {error}")
            continue
        assert value is not None
        assert bound is not None
        values.append(abs(value))
        limits.append(bound)
    if ended_badly:
        part.notes.append(f"{ended_badly} runs failed or diverged and are left out")
    if not values:
        raise NotJudged("; ".join(part.notes[:2]) or "no run has a record yet")
    sign = ">" if above else "≤"
    part.claimed = f"{metric.replace('_', ' ')} {sign} {_limit_text(limits)}"
    held = [(v > b) if above else (v <= b) for v, b in zip(values, limits, strict=True)]
    worst = min(values) if above else max(values)
    part.numbers = {
        "n": len(values),
        "metric": metric,
        "worst": worst,
        "limit": limits[0] if len(set(limits)) == 1 else sorted(set(limits)),
        "held": sum(held),
    }
    part.seen = f"{'smallest' if above else 'largest'} {_level(worst)} over {len(values)} runs"
    part.verdict = REPRODUCED if all(held) else NOT_REPRODUCED
    part.reason = f"{sum(held)} of {len(values)} runs hold it"


def _limit_text(limits: Sequence[float]) -> str:
    low, high = min(limits), max(limits)
    return _level(low) if low == high else f"{_level(low)} to {_level(high)}"


def _level(value: float) -> str:
    """Two digits, or four where the difference to 1 counts: 1.8e-12, 0.9916."""
    return f"{value:.4g}" if 0.9 <= value < 1 else f"{value:.2g}"
