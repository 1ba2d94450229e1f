"""The forms of a test in which a finding's comparisons are judged once more, beside the form that its parts name.

`forms: [even, averaged]` at a finding repeats each comparison of one pass at the end of the budget over even regions
and in averaged passes: the same networks and the same margin, no part of the verdict. So a claim about one drawn pass
shows what a still or an averaged test makes of it, without a line for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fracpool.settings import findings_schema
from fracpool.settings.findings_schema import FORMS, METRICS, NO_RULE
from fracpool.settings.refusal import SettingsError

ONE_PASS = (METRICS[0], FORMS["even"])
MOST_PARTS = 500  # of one finding that are repeated: a sweep file may be anyone's


def repeated(finding: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each form of a finding with each part that it adds; what stands in the finding in that form is not repeated."""
    forms, parts = finding.get("forms"), finding.get("parts")
    if not isinstance(forms, list) or not isinstance(parts, list):
        return
    at_end = [part for part in parts[:MOST_PARTS] if _is_at_end(part)]
    for form in (form for form in FORMS if form in forms):
        metric = FORMS[form]
        said = [_comparison(part) for part in at_end if _metric(part) == metric]
        for part in at_end:
            if _metric(part) in ONE_PASS and "metric_b" not in part and _comparison(part) not in said:
                said.append(_comparison(part))
                kept = {key: value for key, value in part.items() if key not in ("at", "headline", "answer")}
                yield form, {**kept, "metric": metric, "counts": False}


def _is_at_end(part: Any) -> bool:
    """Whether it is a comparison of accuracies, rightly described, that looks at the end of the budget."""
    try:
        findings_schema.check_part(part, "part", known_only=False)
    except SettingsError:
        return False
    at = part.get("at", "end")
    return findings_schema.has_forms(part) and (at == "end" or (isinstance(at, list) and "end" in at))


def _metric(part: Mapping[str, Any]) -> str:
    return str(part.get("metric", METRICS[0]))


def _comparison(part: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared and by which rule, in whatever form."""
    return {key: value for key, value in part.items() if key not in (*NO_RULE, "counts", "headline", "at", "metric")}


def rule(finding: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What decides a finding and what stands beside it: its parts, in every form, but what they are called."""
    parts: Sequence[Mapping[str, Any]] = [*finding["parts"], *(part for _, part in repeated(finding))]
    return [{key: value for key, value in part.items() if key not in NO_RULE} for part in parts]
