"""Networks that several results folders have on different budgets: they stand beside each other and are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fracpool.findings.folder_accuracies import accuracies, accuracy_text
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count, text
from fracpool.settings.names import distinct_names
from fracpool.table.experiment import natural
from fracpool.table.results import Results
from fracpool.table.variant import Variant, settings_key

OTHER_BUDGET = "other budget"
BUDGET = ("budget.",)


@dataclass(frozen=True)
class Beside:
    """A network that several folders have on different budgets: by folder, what it came to on each of its own."""

    name: str
    found: tuple[dict[str, Estimate], ...]  # by budget in words: 10 epochs
    verdict: str = OTHER_BUDGET

    @property
    def shown(self) -> list[str]:
        return ["; ".join(f"{b}: {accuracy_text(v)}" for b, v in each.items()) or "–" for each in self.found]


def networks_beside(read: Sequence[Results]) -> list[Beside]:
    """The networks that several folders have, and not all on the same budgets."""
    labels: dict[str, tuple[str, dict[str, Any]]] = {}
    found: dict[str, list[dict[str, Estimate]]] = {}
    for number, results in enumerate(read):
        known = accuracies(results)
        for row in results.runs.drop_duplicates("variant_id").itertuples():
            settings = Variant("", "", results.records[str(row.run_id)].data["config"], {}).settings
            network, value = settings_key(settings, BUDGET), known.get(str(row.variant_id))
            if value is not None:
                rest = {key: setting for key, setting in settings.items() if not key.startswith(BUDGET)}
                labels.setdefault(network, (str(row.label), rest))
                found.setdefault(network, [{} for _ in read])[number][_budget(settings)] = value
    names = dict(zip(labels, distinct_names(list(labels.values())), strict=True))
    lines = [
        Beside(names[network], tuple(each))
        for network, each in found.items()
        if sum(map(bool, each)) > 1 and len({tuple(sorted(budgets)) for budgets in each if budgets}) > 1
    ]
    return sorted(lines, key=lambda line: natural(line.name))


def _budget(settings: Mapping[str, Any]) -> str:
    images = settings.get("budget.train_examples")
    shown = f"{count(settings.get('budget.epochs') or 0, 'epoch')} of {'all' if images is None else images} images"
    batch, plain = settings.get("budget.batch_size"), settings.get("budget.plain_epochs")
    return text(f"{shown}, batches of {batch}" + (f", {plain} of them plain" if plain else ""))
