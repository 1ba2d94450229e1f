"""The answer to a study's own question: its findings that are marked `headline`, and the pairs that they compare.

Where none is marked and no finding compares FMP with max pooling, all that counts is what the study is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fracpool.findings.answer import Answer, Sides
from fracpool.findings.contrasts import AHEAD, BEHIND, SWAP, Contrast, contrasts_of_parts
from fracpool.findings.rules.part import NOT_RUN
from fracpool.findings.scores import NotJudged, select_one
from fracpool.findings.statistics import difference_text
from fracpool.findings.verdicts import Finding
from fracpool.records.plain_text import count, text
from fracpool.settings import findings_schema
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results

PAIRED = ("gap", "comparable", "better")
MOST_TOLD = 3  # questions, findings and pairs


@dataclass(frozen=True)
class _Named:
    """A part that a study names as what it is about."""

    experiment: Experiment
    finding: str
    spec: Mapping[str, Any]


def own_answer(results: Results, findings: Sequence[Finding]) -> Answer | None:
    """The answer of a study that has a question of its own; None where it is about FMP and max pooling."""
    named = _named(results)
    if not named:
        return None
    experiments = {part.experiment.name: part.experiment for part in named}
    contrasts = [
        contrast
        for name, experiment in experiments.items()
        for contrast in contrasts_of_parts(results, experiment, [p.spec for p in named if _pairs(p, name)])
    ]
    about = {(part.experiment.name, part.finding) for part in named}
    told = [finding for finding in findings if (finding.experiment, finding.id) in about]
    questions = dict.fromkeys(experiment.question or experiment.title for experiment in experiments.values())
    return Answer(
        question=" ".join(list(questions)[:MOST_TOLD]),
        sides=_sides(contrasts),
        headline=_headline(told),
        sentences=tuple(_sentences(contrasts)),
        swaps=tuple(contrasts),
        averaged=(),
        deeper=(),
    )


def _named(results: Results) -> list[_Named]:
    parts = [part for experiment in results.experiments for part in _parts(experiment)]
    marked = [part for part in parts if part.spec.get("headline")]
    if marked or any(_is_swap(part) for part in parts):
        return marked
    is_about_fmp = any(variant.is_fmp for experiment in results.experiments for variant in experiment.variants)
    counted = [part for part in parts if part.spec.get("counts", True)]
    return [part for part in counted if part.spec["kind"] in PAIRED or not is_about_fmp]


def _parts(experiment: Experiment) -> Iterator[_Named]:
    for finding in experiment.findings:
        specs = finding.get("parts")
        for spec in specs if isinstance(specs, list) else ():
            try:
                findings_schema.check_part(spec, "part", known_only=False)
            except ValueError:  # a sweep file may be anyone's; its finding says what is wrong
                continue
            yield _Named(experiment, text(finding.get("id") or "?", 40), spec)


def _pairs(part: _Named, experiment: str) -> bool:
    """Whether it compares two networks of the experiment at the end of their budget."""
    at = part.spec.get("at", "end")
    at_end = at == "end" or (isinstance(at, list) and "end" in at)
    return part.experiment.name == experiment and part.spec["kind"] in PAIRED and "match" not in part.spec and at_end


def _is_swap(part: _Named) -> bool:
    """Whether FMP and max pooling are compared, in whichever order and number."""
    if part.spec["kind"] in ("ranking", "improvement", "better") and not _pairs(part, part.experiment.name):
        return any(v.is_fmp for v in part.experiment.variants)
    try:
        a, b = (select_one(part.experiment, part.spec[side]) for side in ("a", "b"))
    except (KeyError, NotJudged, TypeError):
        return False
    return SWAP.holds(a, b) or SWAP.holds(b, a)


def _sides(contrasts: Sequence[Contrast]) -> Sides:
    """What the first and the second of all pairs are: a pooling, where it is the same in all and not on both sides."""
    first, second = ({side.pool for side in sides} for sides in ([c.a for c in contrasts], [c.b for c in contrasts]))
    alike = len(first) == len(second) == 1 and first != second
    a, b = (first.pop(), second.pop()) if alike else ("the first", "the second")
    return Sides(a, b, b, b)


def _headline(findings: Sequence[Finding]) -> str:
    """Each finding and what became of it: SoftPool is better than max pooling: reproduced (10 epochs, one pass)."""
    judged = [finding for finding in findings if finding.verdict != NOT_RUN]
    if not judged:
        return "Not answered yet: no finding that these runs are about has been run."
    told = [_with_verdict(finding) for finding in judged[:MOST_TOLD]]
    more = len(judged) - len(told)
    return " ".join([*told, *([f"{count(more, 'more finding')} below."] if more else [])])


def _with_verdict(finding: Finding) -> str:
    decisive = [part for part in finding.counted if part.verdict == finding.verdict] or finding.counted
    behind = "; ".join(filter(None, [finding.scope, decisive[0].seen if decisive else ""]))
    return f"{finding.claim.rstrip('.')}: {finding.told}{f' ({behind})' if behind else ''}."


def _sentences(contrasts: Sequence[Contrast]) -> Iterator[str]:
    if len(contrasts) > 1:
        ahead, behind = (sum(c.outcome == outcome for c in contrasts) for outcome in (AHEAD, BEHIND))
        yield (
            f"Of {count(len(contrasts), 'comparison')} the first is ahead in {ahead} and behind in {behind}; "
            f"{len(contrasts) - ahead - behind} are undecided."
        )
    if contrasts:
        told = "; ".join(f"{c.network}: {difference_text(c.end)}" for c in contrasts[:MOST_TOLD])
        yield f"{told}."
