"""Verdicts: what an experiment's findings claim, held against its runs. No verdict is written by hand.

A finding is data in `experiments/NAME.yaml`, under `experiment.findings`, by its id:

    F2:
      claim, source, comparison: text
      parts:                       # what is compared; the finding's verdict follows from the parts that count
        - kind: gap                # one of the rules in fracpool.findings.rules
          title: what it compares, in words
          a: {pool.kind: fmp, …}   # selects the variant whose config has these values; must select just one
          b: {pool.kind: max, …}
          …                        # the margin and other fields of the kind
          counts: true             # false: judged and shown, but no part of the verdict ("when", "why")
      forms: [even, averaged]      # its comparisons of one pass in other forms of test, which do not count

The kinds and their rules are in `fracpool.findings.rules`. The p-values of the parts that count are corrected together
(Holm), and so are those of the parts that do not, and those of each form. A part that they leave open is inconclusive
and tells how many seeds the seen spread asks for. A finding is not reproduced if a counted part is not; reproduced if
all are; not run if nothing that counts was run; else inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fracpool.findings import statistics, words
from fracpool.findings.rules.kinds import judge_part
from fracpool.findings.rules.part import ALPHA, INCONCLUSIVE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, VERDICTS, Part
from fracpool.findings.scores import WORDS
from fracpool.records.plain_text import count, text
from fracpool.settings import finding_forms
from fracpool.table.experiment import Experiment, Rule, natural
from fracpool.table.results import Results

SCHEMA = 1  # of findings.json
MOST_PARTS, MOST_SETS = 500, 30


@dataclass
class Finding:
    """A claim with its parts and the verdict that follows from them."""

    id: str
    experiment: str
    claim: str
    source: str
    comparison: str
    parts: list[Part]
    verdict: str = NOT_RUN
    reason: str = ""
    rule_changes: tuple[str, ...] = ()  # what became of its rule once runs were known
    beside_changes: tuple[str, ...] = ()  # … and of what stands beside it

    @property
    def word(self) -> str:
        """What became of the claim, in the word that people read (`fracpool.findings.words`)."""
        return words.word_over(self.verdict, self.counted)

    @property
    def told(self) -> str:
        """The word, with the number of seeds where they leave it undecided."""
        open_ = [part for part in self.counted if part.verdict == INCONCLUSIVE]
        return words.told(self.word, open_[0] if open_ else None)

    @property
    def scope(self) -> str:
        """After which training, and in which forms of test, it was judged."""
        decisive = [part for part in self.counted if part.verdict == self.verdict] or self.counted
        return "; ".join(dict.fromkeys(part.scope for part in decisive if part.scope))

    @property
    def counted(self) -> list[Part]:
        return [part for part in self.parts if part.counts]

    @property
    def context(self) -> list[Part]:
        return [part for part in self.parts if not part.counts]


def judge(results: Results) -> list[Finding]:
    """All findings of a results folder with their verdicts, sorted by id."""
    room = Room(results.beyond)
    asked = [(experiment, given) for experiment in results.experiments for given in experiment.findings]
    found = [_judge_parts(results, experiment, given, room) for experiment, given in asked]
    for finding, (experiment, given) in zip(found, asked, strict=True):  # the room that is left is for other forms
        finding.parts += _judge_forms(results, experiment, given, room)
        finding.verdict, finding.reason = _conclude(finding)
    return sorted(found, key=lambda f: (natural(f.id), f.experiment))


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of findings.json.

    `findings` is a list of {id, experiment, claim, source, comparison, verdict, word, scope, reason, parts}; a part is
    {kind, title, counts, claimed, verdict, word, scope, reason, numbers, notes, form}. `word` says how a claim was
    missed (`fracpool.findings.words`), `scope` after which training and in which form of test, `form` which of the
    finding's `forms` added the part. `numbers` depends on the kind: of a comparison n, seeds, at, metric, the names a
    and b, mean_a, mean_b, difference with low and high (its interval), p_for and p_against before and after Holm's
    correction over `family` comparisons, mcnemar (mean counts of images that only one of both classes rightly, and in
    how many seeds they differ), and seeds_needed where it is inconclusive. Accuracies and differences are fractions,
    not per cent. `schema` rises when a field changes.
    """
    return {
        "schema": SCHEMA,
        "alpha": ALPHA,
        "interval": f"{statistics.LEVEL:.0%} {statistics.METHOD}",
        "findings": [
            {
                "id": f.id,
                "experiment": f.experiment,
                "claim": f.claim,
                "source": f.source,
                "comparison": f.comparison,
                "verdict": f.verdict,
                "word": f.word,
                "scope": f.scope,
                "reason": f.reason,
                **({"rule_changes": list(f.rule_changes)} if f.rule_changes else {}),
                **({"beside_changes": list(f.beside_changes)} if f.beside_changes else {}),
                "parts": [
                    {
                        "kind": p.kind,
                        "title": p.title,
                        "counts": p.counts,
                        "claimed": p.claimed,
                        "verdict": p.verdict,
                        "word": words.word(p),
                        "scope": p.scope,
                        "reason": p.reason,
                        "numbers": p.numbers,
                        "notes": p.notes,
                        "form": p.form,
                    }
                    for p in f.parts
                ],
            }
            for f in findings
        ],
    }


def _judge_parts(results: Results, experiment: Experiment, given: Mapping[str, Any], room: Room) -> Finding:
    """A finding with its own parts."""
    finding = Finding(
        id=text(given.get("id") or "?", 40),
        experiment=experiment.name,
        claim=text(given.get("claim") or "", 1000),
        source=text(given.get("source") or "", 1000),
        comparison=text(given.get("comparison") or "", 1000),
        parts=[],
    )
    rules = experiment.rules.get(str(given.get("id")), ())
    finding.rule_changes, finding.beside_changes = _changes(rules, beside=False), _changes(rules, beside=True)
    for spec in _specs(given):
        if not room.take(spec):
            finding.parts.append(room.left_out(finding))
            break
        judged = judge_part(results, experiment, spec)
        room.parts -= len(judged)
        finding.parts += judged
    for family in (finding.counted, finding.context):
        _decide(family)
    return finding


def _judge_forms(results: Results, experiment: Experiment, given: Mapping[str, Any], room: Room) -> list[Part]:
    """The parts of a finding's further forms of test; those of a form are read together."""
    families: dict[str, list[Part]] = {}
    for form, spec in finding_forms.repeated(given):
        titled = {"title": f"{spec['title']}{WORDS[spec['metric']]}"} if "title" in spec else {}
        if not room.take(spec):
            room.tell(f"{experiment.name}: finding {text(given.get('id'), 40)} in other forms of test")
            break
        judged = judge_part(results, experiment, {**spec, **titled})
        room.parts -= len(judged)
        families.setdefault(form, []).extend(replace(part, form=form) for part in judged)
    for family in families.values():
        _decide(family)
    return [part for family in families.values() for part in family]


def _changes(rules: Sequence[Rule], beside: bool) -> tuple[str, ...]:
    """What became of a rule, or of what stands beside it, once runs were known."""
    found = []
    for number, rule in enumerate(rules):
        if rule.known and (number or rule.added) and rule.beside == beside:
            were = f"{count(rule.known, 'run')} {'was' if rule.known == 1 else 'were'} known"
            what = "some added" if beside else "rule changed" if number else "added"
            found.append(f"{what} after {were} ({rule.since[:10]})")
    return tuple(found)


class Room:
    """How many comparisons of a results folder are judged: its findings may ask for any number."""

    def __init__(self, told: list[str]) -> None:
        self.parts, self.sets, self.told = MOST_PARTS, MOST_SETS, told

    def take(self, spec: Mapping[str, Any]) -> bool:
        """Whether there is room for a part; for one that compares sets of networks there is less."""
        self.sets -= spec.get("kind") in ("ranking", "improvement")
        return self.parts > 0 and self.sets >= 0

    def left_out(self, finding: Finding) -> Part:
        """Stands for the parts that are not judged, so that the finding is not without them."""
        reason = self.tell(f"{finding.experiment}: parts of finding {finding.id}")
        return Part("left out", "more comparisons", True, INCONCLUSIVE, reason)

    def tell(self, what: str) -> str:
        reason = (
            f"left out: more than {MOST_PARTS} comparisons, or {MOST_SETS} rankings and improvements, in this folder"
        )
        self.told.append(f"{what} are {reason}")
        return reason


def _specs(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts as given, one for each epoch where `at` is a list."""
    parts = given.get("parts")
    if not isinstance(parts, list):
        return
    for part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("at"), list):
            yield from ({**part, "at": at} for at in part["at"])
        else:
            yield part if isinstance(part, Mapping) else {}


def _decide(family: Sequence[Part]) -> None:
    """Turns the p-values of parts that are read together into verdicts."""
    tested = [part for part in family if part.tests is not None]
    p_for = statistics.holm([p.tests.p_for for p in tested if p.tests])
    p_against = statistics.holm([p.tests.p_against for p in tested if p.tests])
    for part, adjusted_for, adjusted_against in zip(tested, p_for, p_against, strict=True):
        assert part.tests is not None
        part.numbers |= {
            "p_for": part.tests.p_for,
            "p_against": part.tests.p_against,
            "p_for_holm": adjusted_for,
            "p_against_holm": adjusted_against,
            "family": len(tested),
        }
        if adjusted_for <= ALPHA:
            part.verdict = REPRODUCED
        elif adjusted_against <= ALPHA:
            part.verdict = NOT_REPRODUCED
        else:
            part.verdict = INCONCLUSIVE
            part.numbers["seeds_needed"] = part.tests.needed
            part.reason = _too_wide(part)


def _too_wide(part: Part) -> str:
    needed, n = (part.tests.needed if part.tests else None), part.numbers["n"]
    if part.kind == "improvement":
        return f"{n} runs of each do not settle it"
    if needed is None:
        return f"{n} seeds do not settle it, and more than {statistics.MOST_SEEDS} would be needed at this spread"
    return f"{n} seeds do not settle it; about {max(needed, n + 1)} would at this spread"


def _conclude(finding: Finding) -> tuple[str, str]:
    counted = finding.counted
    if not counted:
        return INCONCLUSIVE, "the finding names no comparison that counts"
    by_verdict = {v: [p for p in counted if p.verdict == v] for v in VERDICTS}
    if by_verdict[NOT_REPRODUCED]:
        return NOT_REPRODUCED, _told(by_verdict[NOT_REPRODUCED], counted) + _elsewhere(finding)
    if len(by_verdict[REPRODUCED]) == len(counted):
        return REPRODUCED, _told(counted, counted)
    if len(by_verdict[NOT_RUN]) == len(counted):
        return NOT_RUN, "; ".join(dict.fromkeys(p.reason for p in counted))
    return INCONCLUSIVE, _told(by_verdict[INCONCLUSIVE] + by_verdict[NOT_RUN], counted)


def _told(parts: Sequence[Part], counted: Sequence[Part]) -> str:
    """What was seen in the parts that decided; where many count, how many these are and the first of them."""
    lines = [f"{part.title}: {_seen_against_claim(part)}" for part in parts]
    if len(counted) <= 3:
        return "; ".join(lines)
    return f"{len(parts)} of {len(counted)} comparisons are {words.word(parts[0])}, such as {lines[0]}"


def _seen_against_claim(part: Part) -> str:
    if part.verdict in (INCONCLUSIVE, NOT_RUN):
        return f"{part.seen}; {part.reason}" if part.seen else part.reason
    if part.kind in ("gap", "comparable"):
        return f"{part.seen} (claimed {part.claimed})"
    if part.kind == "final_size" and part.verdict == NOT_REPRODUCED:
        return f"{part.seen}, not {part.claimed}"
    return part.seen


def _elsewhere(finding: Finding) -> str:
    """Where the claim does hold, though not where it counts."""
    refuted = {part.kind for part in finding.counted if part.verdict == NOT_REPRODUCED}
    holds = [p for p in finding.context if p.verdict == REPRODUCED and p.kind in refuted]
    return ". It does hold for " + "; ".join(f"{p.title}: {p.seen}" for p in holds[:2]) if holds else ""
