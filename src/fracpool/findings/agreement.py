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

from fracpool.findings import statistics, verdicts, words
from fracpool.findings.folder_accuracies import accuracies, accuracy_text
from fracpool.findings.other_budgets import BUDGET, OTHER_BUDGET, Beside, networks_beside
from fracpool.findings.rules.part import NOT_RUN, Part
from fracpool.findings.statistics import Estimate, difference_text, interval_text
from fracpool.findings.verdicts import Finding
from fracpool.records.plain_text import count, cut, text
from fracpool.settings.findings_schema import NO_RULE
from fracpool.settings.names import distinct_names, flatten
from fracpool.table import results as tables
from fracpool.table.experiment import Experiment, natural
from fracpool.table.repeat import how_to_repeat
from fracpool.table.results import LOOSE, Results
from fracpool.table.variant import settings_key

AGREE, APART, NOT_TOLD, ONLY_ONE = "agree", "differ", "not told", "only in one"
OTHER_DATA, OTHER_RULE = "other data", "other rule"
MOST_LINES = 500


@dataclass(frozen=True)
class Line:
    """One thing that the folders may have: its value in each (None where it is missing), and whether they agree.

    Attributes:
        shown: The values in words, one for each folder.
        differences: To the first folder that has it; None for that one and where there is none.
    """

    name: str
    values: tuple[Estimate | None, ...]
    shown: tuple[str, ...]
    differences: tuple[Estimate | None, ...]
    verdict: str

    @property
    def differences_shown(self) -> list[str]:
        return ["" if d is None else "equal" if d.mean == 0 else interval_text(d, 2) for d in self.differences]

    @property
    def first(self) -> int:
        """The folder that the others are held against."""
        return next((i for i, value in enumerate(self.values) if value is not None), 0)


@dataclass(frozen=True)
class FindingLine:
    """A finding with the verdict that each folder gives it ("" where it has no such finding)."""

    id: str
    experiment: str
    claim: str
    verdicts: tuple[str, ...]
    words: tuple[str, ...]  # the same in the words that people read
    parts: list[Line]
    other: str = ""  # why the verdicts are not held against each other: one of OTHER_…

    @property
    def verdict(self) -> str:
        given = [verdict for verdict in self.verdicts if verdict not in ("", NOT_RUN)]
        if len(given) < 2:
            return ONLY_ONE
        return self.other or (AGREE if len(set(given)) == 1 else APART)


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
    judged = _finding_lines(read)
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
        _line(names[variant], [accuracies.get(variant) for accuracies in found], accuracy_text)
        for variant in names
        if any(variant in accuracies for accuracies in found)
    ]
    return sorted(lines, key=lambda line: natural(line.name))


def _line(name: str, values: Sequence[Estimate | None], words: Any) -> Line:
    first = next((value for value in values if value is not None), None)
    differences = [
        None if value is None or value is first or first is None else statistics.apart(first, value) for value in values
    ]
    verdict = _agreement([difference for difference in differences if difference is not None])
    shown = tuple("–" if value is None else words(value) for value in values)
    return Line(name, tuple(values), shown, tuple(differences), verdict)


def _agreement(differences: Sequence[Estimate]) -> str:
    if not differences:
        return ONLY_ONE
    told = [_contains_zero(difference) for difference in differences]
    if False in told:
        return APART
    return NOT_TOLD if None in told else AGREE


def _contains_zero(difference: Estimate) -> bool | None:
    if difference.mean == 0:
        return True
    if difference.low is None or difference.high is None:
        return None
    return difference.low <= 0 <= difference.high


# ---- findings ----


def _finding_lines(read: Sequence[Results]) -> list[FindingLine]:
    judged = [{(f.experiment, f.id): f for f in verdicts.judge(results)} for results in read]
    asked = [{e.name: e for e in results.experiments} for results in read]
    keys = dict.fromkeys(key for found in judged for key in found)
    lines = []
    for key in keys:
        experiments = [each[key[0]] for each, found in zip(asked, judged, strict=True) if key in found]
        lines.append(_finding_line([found.get(key) for found in judged], _other(experiments, key[1])))
    return sorted(lines, key=lambda line: (natural(line.id), line.experiment))


def _other(experiments: Sequence[Experiment], finding: str) -> str:
    """Why the verdicts that folders give to a finding cannot be held against each other; "" where they can."""
    settings = [[variant.settings for variant in experiment.variants] for experiment in experiments]

    def differ(*start: str) -> bool:
        return len({frozenset(settings_key(_only_of(one, start)) for one in each) for each in settings}) > 1

    if differ("dataset."):
        return OTHER_DATA
    if differ(*BUDGET):
        return OTHER_BUDGET
    rules = [_rule(f) for e in experiments for f in e.findings if text(f.get("id") or "?", 40) == finding]
    return OTHER_RULE if any(rule != rules[0] for rule in rules) else ""


def _rule(finding: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What decides a finding: its parts without what they are called."""
    parts = finding.get("parts")
    mappings = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return [{key: value for key, value in part.items() if key not in NO_RULE} for part in mappings]


def _only_of(settings: Mapping[str, Any], start: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.startswith(start)}


def _finding_line(found: Sequence[Finding | None], other: str) -> FindingLine:
    known = next(finding for finding in found if finding is not None)
    parts = [_parts(finding) for finding in found]
    keys = dict.fromkeys(key for each in parts for key in each)
    return FindingLine(
        id=known.id,
        experiment=known.experiment,
        claim=known.claim,
        verdicts=tuple("" if finding is None else finding.verdict for finding in found),
        words=tuple("" if finding is None else finding.told for finding in found),
        parts=[_part_line(key[0], [each.get(key) for each in parts], other) for key in keys],
        other=other,
    )


def _parts(finding: Finding | None) -> dict[tuple[str, str, int], Part]:
    """The parts that were judged or seen, by title, kind and how many such came before."""
    found: dict[tuple[str, str, int], Part] = {}
    before: Counter[tuple[str, str]] = Counter()
    for part in finding.parts if finding else ():
        found[(part.title, part.kind, before[part.title, part.kind])] = part
        before[part.title, part.kind] += 1
    return {key: part for key, part in found.items() if part.verdict != NOT_RUN}


def _part_line(title: str, parts: Sequence[Part | None], other: str) -> Line:
    values = [None if part is None else _difference(part) for part in parts]
    nothing = (None,) * len(parts)
    if other in (OTHER_DATA, OTHER_BUDGET):
        shown = tuple("–" if part is None else part.seen or words.word(part) for part in parts)
        return Line(title, tuple(values), shown, nothing, other)
    if any(value is not None for value in values):
        return _line(title, values, difference_text)
    shown = tuple("–" if part is None else part.seen or words.word(part) for part in parts)
    verdicts = {part.verdict for part in parts if part is not None}
    several = sum(part is not None for part in parts) > 1
    verdict = (AGREE if len(verdicts) == 1 else APART) if several else ONLY_ONE
    return Line(title, nothing, shown, nothing, verdict)


def _difference(part: Part) -> Estimate | None:
    given = part.numbers
    if "difference" not in given:
        return None
    return Estimate(given["difference"], given["low"], given["high"], given["n"])


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
