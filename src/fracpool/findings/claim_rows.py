"""The claims of the answer, in its own words: what was seen of each early, and at the end, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fracpool.findings import words
from fracpool.findings.headline import gap, name_of
from fracpool.findings.rules.part import NOT_RUN, REPRODUCED, Part
from fracpool.findings.sighting import AHEAD, BEHIND, LEVEL, OPEN, Sighting, networks
from fracpool.findings.verdicts import Finding

MOST_ROWS, MOST_SEEN, MOST_FACTS = 9, 2, 3
AT_END = 0.8  # of the most training images seen: as long, on another data set


@dataclass(frozen=True)
class Row:
    """One claim; `early` is empty where it was judged once, `of` names its findings as (id, place among all)."""

    claim: str
    early: tuple[str, ...]
    end: tuple[str, ...]
    word: str
    detail: str  # of the verdict: budget and form of test
    of: tuple[tuple[str, int], ...]
    images: int = 0  # that the shortest training showed


def claim_rows(findings: Sequence[Finding]) -> list[Row]:
    """A row for each claim that parts name as `answer`; where none does, for each finding."""
    named: dict[str, list[tuple[int, Part]]] = {}
    for place, finding in enumerate(findings, start=1):
        for part in finding.parts:
            if part.answer:
                named.setdefault(part.answer, []).append((place, part))
    if not named:
        named = {f.claim: [(place, part) for part in f.counted] for place, f in enumerate(findings, start=1)}
    rows = [_row(claim, found, findings) for claim, found in named.items() if found]
    return sorted(rows, key=lambda row: (row.word == NOT_RUN, not row.early, row.images))[:MOST_ROWS]


def _row(claim: str, found: Sequence[tuple[int, Part]], findings: Sequence[Finding]) -> Row:
    parts = [part for _, part in found]
    seen = sorted(((s, part) for part in parts for s in part.sightings), key=lambda one: one[0].images)
    of = tuple((findings[place - 1].id, place) for place in dict.fromkeys(place for place, _ in found))
    if not seen:
        word = _over(parts)
        told = [f"{p.claimed}: {p.seen}" if p.kind == "check" else p.seen for p in parts if p.seen]
        return Row(claim, (), tuple(told[:MOST_FACTS]) or (parts[0].reason,), word, "", of)
    last = seen[-1][0].images
    end = [(s, part) for s, part in seen if s.images >= AT_END * last and part.sightings[-1] is s]
    before = [(s, part) for s, part in seen if s.images < AT_END * last]
    held = [(s, part) for s, part in before if words.word(part) == REPRODUCED and part.sightings[-1] is s]
    decisive = [(s, part) for s, part in end if part.counts] or end
    word = _over([part for _, part in decisive])
    detail = _detail(word, decisive)
    if held and word != REPRODUCED:
        detail += f"; {REPRODUCED} after {held[-1][0].budget}"
    early = [s for s, _ in before[:1]]
    early += [s for s, _ in held[-1:] if s not in early]
    return Row(claim, _shown(early), _shown([s for s, _ in decisive]), word, detail, of, seen[0][0].images)


def _detail(word: str, decisive: Sequence[tuple[Sighting, Part]]) -> str:
    """What stands beside the word: budget and forms of test; what seeds show that leave it undecided; whether less than
    was claimed is nothing that seeds show.
    """
    seen, part = decisive[-1]
    forms = " or ".join(dict.fromkeys(s.form for s, _ in decisive))
    scope = f"after {seen.budget}, {forms}"
    if word != words.UNDECIDED:
        is_none_shown = word == words.SMALLER and all(s.outcome in (LEVEL, OPEN) for s, _ in decisive)
        return f"{scope}; no difference is shown" if is_none_shown else scope
    shown = f"; it is {seen.outcome}" if seen.outcome in (AHEAD, BEHIND) else ""
    whether = f"whether {part.claimed}, " if shown and part.kind == "comparable" else ""
    return f"at n\u00a0=\u00a0{seen.gap.n} {whether}{scope}{shown}"


def _over(parts: Sequence[Part]) -> str:
    """The word of a claim that several parts are about: reproduced where all are, else that of those which miss it."""
    found = [words.word(part) for part in parts if part.verdict != NOT_RUN] or [NOT_RUN]
    missed = next((word for word in words.GRAVEST if word in found), None)
    if missed:
        return missed
    return found[0] if len(set(found)) == 1 else words.UNDECIDED


def _shown(seen: Sequence[Sighting]) -> tuple[str, ...]:
    chosen = sorted(seen, key=lambda s: (s.images, s.gap.mean))
    if len(chosen) > MOST_SEEN:
        chosen = [chosen[0], chosen[-1]]
    several = len({networks(s) for s in chosen}) > 1
    return tuple(
        f"{gap(s.gap)} after {s.budget} on {name_of(s.data)}, {s.form}"
        f"{f', {networks(s)}' if several else ''} (n\u00a0=\u00a0{s.gap.n})"
        for s in chosen
    )
