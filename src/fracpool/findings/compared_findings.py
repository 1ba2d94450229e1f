"""The verdicts that several results folders give to the same finding, and its parts side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fracpool.findings import verdicts, words
from fracpool.findings.compared_line import AGREE, APART, ONLY_ONE, Line, compared
from fracpool.findings.other_budgets import BUDGET, OTHER_BUDGET
from fracpool.findings.rules.part import NOT_RUN, Part
from fracpool.findings.statistics import Estimate, difference_text
from fracpool.findings.verdicts import Finding
from fracpool.records.plain_text import text
from fracpool.settings.findings_schema import NO_RULE
from fracpool.table.experiment import Experiment, natural
from fracpool.table.results import Results
from fracpool.table.variant import settings_key

OTHER_DATA, OTHER_RULE = "other data", "other rule"


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


def finding_lines(read: Sequence[Results]) -> list[FindingLine]:
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
        return compared(title, values, difference_text)
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
