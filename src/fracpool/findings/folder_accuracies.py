"""The accuracy of every variant of a results folder, over the seeds that it was run with."""

from __future__ import annotations

from fracpool.findings.scores import by_seed, over_seeds
from fracpool.findings.statistics import Estimate
from fracpool.records.record import Record
from fracpool.table.results import Results


def accuracies(results: Results) -> dict[str, Estimate]:
    """By variant id: test accuracy over seeds. A seed with two records (of other data) is not used."""
    of_variant: dict[str, list[Record]] = {}
    for row in results.runs.itertuples():
        of_variant.setdefault(str(row.variant_id), []).append(results.records[str(row.run_id)])
    found = {variant: by_seed(records)[0] for variant, records in of_variant.items()}
    return {variant: over_seeds(accuracies) for variant, accuracies in found.items() if accuracies}


def accuracy_text(value: Estimate) -> str:
    interval = ""
    if value.low is not None and value.high is not None:
        interval = f" [{100 * value.low:.2f},\u00a0{100 * value.high:.2f}]"
    return f"{100 * value.mean:.2f}\u00a0%{interval}, n\u00a0=\u00a0{value.n}"
