"""Several results folders side by side: what each has, and whether they agree within their intervals.

A line of the comparison is a variant's accuracy or a part of a finding. Each folder that has it is held against the
first that has it: they agree if the 95 % interval of the difference (`statistics.apart`) contains 0, and cannot be
told where one of them has no interval, unless the two are equal. Sizes and checks, which have no interval, agree if
they come to the same verdict.

What is held against each other must coincide in everything but the seeds: data set, network, pooling, optimizer and
budget. The same network on another budget, or a finding on other data or another budget, stands beside, marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracpool.findings.compared_findings import FindingLine, finding_lines
from fracpool.findings.compared_line import AGREE, APART, NOT_TOLD, ONLY_ONE, Line, compared
from fracpool.findings.folder_accuracies import accuracies, accuracy_text
from fracpool.findings.other_budgets import OTHER_BUDGET, Beside, networks_beside
from fracpool.records.plain_text import count, cut, text
from fracpool.settings.names import distinct_names, flatten
from fracpool.table import results as tables
from fracpool.table.experiment import natural
from fracpool.table.repeat import how_to_repeat
from fracpool.table.results import LOOSE, Results

MOST_LINES = 500


@dataclass(frozen=True)
class Folder:
    """A results folder and what it holds in short."""

    name: str
    path: Path
    runs: int
    completed: int
    experiments: tuple[str, ...]
    versions: Mapping[str, str]
    problems: list[str]


@dataclass(frozen=True)
class Comparison:
    """All that the templates show."""

    folders: list[Folder]
    findings: list[FindingLine]
    variants: list[Line]
    beside: list[Beside]
    repeated: int  # runs that several folders have
    identical: int  # … with the same accuracy to the last bit
    only: list[tuple[str, list[str]]]  # by folder: what no other has

    @property
    def headline(self) -> str:
        if not self.variants and not self.findings and not self.beside:
            return "Nothing to compare: no variant with finished runs and no judged finding is in two of the folders."
        held = [finding for finding in self.findings if not finding.other]
        same = sum(finding.verdict == AGREE for finding in held)
        said = [f"{count(len(self.variants), 'variant')} in several folders: {_tally(self.variants)}"]
        said += [f"{count(len(held), 'finding')}: {same} with the same verdict"]
        others = Counter(finding.other for finding in self.findings if finding.other)
        said += [f"{count(number, 'finding')} beside each other ({other})" for other, number in others.items()]
        said += [f"{count(len(self.beside), 'network')} beside each other ({OTHER_BUDGET})"]
        return "; ".join(part for part in said if not part.startswith("0 ")) + "."

    @property
    def first_variants(self) -> list[Line]:
        return self.variants[:MOST_LINES]

    @property
    def versions(self) -> list[tuple[str, list[str]]]:
        """The versions and fingerprints in which the folders differ."""
        names = dict.fromkeys(name for folder in self.folders for name in folder.versions)
        rows = [(name, [folder.versions.get(name, "–") for folder in self.folders]) for name in names]
        return [(name, values) for name, values in rows if len(set(values)) > 1]


def compare(folders: Sequence[Path]) -> Comparison:
    """Reads the records of all folders and holds them side by side, in the order given."""
    read = [tables.read(folder) for folder in folders]
    names = _names(folders)
    variants, beside = _variant_lines(read), networks_beside(read)
    judged = finding_lines(read)
    run_ids = Counter(run for results in read for run in results.records)
    repeated = [run for run, count in run_ids.items() if count > 1]
    return Comparison(
        folders=[_folder(name, results) for name, results in zip(names, read, strict=True)],
        findings=[line for line in judged if line.verdict != ONLY_ONE],
        variants=[line for line in variants if line.verdict != ONLY_ONE],
        beside=beside,
        repeated=len(repeated),
        identical=sum(_same_everywhere(read, run) for run in repeated),
        only=_only(names, judged, variants),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """What the folders are called: the last part of their path, or all of it where that is not unique."""
    short = [folder.resolve().name for folder in folders]
    unique = len(set(short)) == len(short)
    return [text(name if unique else folder, 80) for name, folder in zip(short, folders, strict=True)]


def _folder(name: str, results: Results) -> Folder:
    return Folder(
        name=name,
        path=results.root,
        runs=len(results.runs),
        completed=int((results.runs["status"] == "completed").sum()),
        experiments=tuple(experiment.name for experiment in results.experiments if experiment.name != LOOSE),
        versions=how_to_repeat(results)["versions"],
        problems=results.problems,
    )


def _same_everywhere(read: Sequence[Results], run: str) -> bool:
    metrics = [results.records[run].data["metrics"] for results in read if run in results.records]
    return all(each.get("test_accuracy") == metrics[0].get("test_accuracy") for each in metrics)


# ---- variants ----


def _variant_lines(read: Sequence[Results]) -> list[Line]:
    found = [accuracies(results) for results in read]
    configs: dict[str, tuple[str, dict[str, Any]]] = {}
    for results in read:
        for row in results.runs.drop_duplicates("variant_id").itertuples():
            config = results.records[str(row.run_id)].data["config"]
            configs.setdefault(str(row.variant_id), (str(row.label), flatten(config)))
    names = dict(zip(configs, distinct_names(list(configs.values())), strict=True))
    lines = [
        compared(names[variant], [accuracies.get(variant) for accuracies in found], accuracy_text)
        for variant in names
        if any(variant in accuracies for accuracies in found)
    ]
    return sorted(lines, key=lambda line: natural(line.name))


# ---- words and tables ----


def _only(names: Sequence[str], judged: Iterable[FindingLine], variants: Iterable[Line]) -> list[tuple[str, list[str]]]:
    """By folder, the findings that no other folder judged and the variants that no other has."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for finding in judged:
        if finding.verdict == ONLY_ONE:
            for name, word in zip(names, finding.words, strict=True):
                found[name] += [f"finding {finding.id} ({finding.experiment}): {word}"] if word else []
    for line in variants:
        if line.verdict == ONLY_ONE:
            found[names[line.first]].append(f"{line.name}: {line.shown[line.first]}")
    return [(name, cut(lines)) for name, lines in found.items() if lines]


def _tally(lines: Sequence[Line]) -> str:
    by_verdict = Counter(line.verdict for line in lines)
    told = [f"{by_verdict[verdict]} {verdict}" for verdict in (AGREE, APART) if by_verdict[verdict]]
    told += [f"{by_verdict[NOT_TOLD]} not told (one seed)"] if by_verdict[NOT_TOLD] else []
    return ", ".join(told)
