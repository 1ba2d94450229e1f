"""Which answer a results folder gives: of its designated comparisons, of its own question, or of all its pairs."""

from __future__ import annotations

from collections.abc import Sequence

from fracpool.findings.answer import FMP_FOR_MAX, QUESTION, Answer, answer
from fracpool.findings.contrasts import AVERAGED, DEEPER, SWAP, contrasts_of
from fracpool.findings.headline import clauses
from fracpool.findings.own_answer import own_answer
from fracpool.findings.tracks import designated
from fracpool.findings.verdicts import Finding
from fracpool.table.results import Results


def said(results: Results, findings: Sequence[Finding]) -> Answer:
    """The answer, from judged findings."""
    tracks = designated(findings)
    if not tracks:
        return own_answer(results, findings) or answer(results)
    found = clauses(tracks)
    swaps, averaged, deeper = (tuple(contrasts_of(results, relation)) for relation in (SWAP, AVERAGED, DEEPER))
    return Answer(
        question=QUESTION,
        sides=FMP_FOR_MAX,
        headline=" ".join(clause.lead for clause in found),
        sentences=tuple(told for clause in found for told in clause.evidence),
        swaps=swaps,
        averaged=averaged,
        deeper=deeper,
        clauses=tuple(found),
    )
