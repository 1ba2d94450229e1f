"""What the first screen says: what the answer rests on, the answer, the claims in their own words, and the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fracpool.findings import rests_on
from fracpool.findings.answer import Answer
from fracpool.findings.claim_rows import Row, claim_rows
from fracpool.findings.headline import Clause
from fracpool.findings.tracks import designated, without_runs
from fracpool.findings.verdicts import Finding
from fracpool.table.results import Results

TESTS = (
    "FMP shrinks a map by a factor such as 1.4, over regions that chance draws anew for each batch. A trained network "
    "is tested in one drawn pass (regions by chance), in one even pass (regular regions, no chance), or in averaged "
    "passes (several drawn ones). Six views are each image as it is, mirrored and moved; max pooling has them, too."
)


@dataclass(frozen=True)
class FirstScreen:
    """All that its template shows, but for the figure."""

    scope: str
    clauses: tuple[Clause, ...]  # the headline with its numbers, where designated comparisons make it
    headline: str
    sentences: tuple[str, ...]
    rows: tuple[Row, ...]
    is_swap: bool  # whether differences are FMP minus max pooling
    tests: str  # what drawn, even, averaged and views mean
    cost: str
    remarks: tuple[str, ...]


def first_screen(results: Results, findings: Sequence[Finding], said: Answer) -> FirstScreen:
    tracks = designated(findings) if said.clauses else None
    return FirstScreen(
        scope=rests_on.scope(tracks) if tracks else rests_on.scope_of_runs(results),
        clauses=said.clauses,
        headline=said.headline,
        sentences=said.sentences,
        rows=tuple(claim_rows(findings)),
        is_swap=said.sides.swapped,
        tests=TESTS if said.clauses else "",
        cost=rests_on.cost(results),
        remarks=tuple(rests_on.remarks(results, without_runs(findings))),
    )
