"""The history of the rules by which findings are judged: what a rule was, since when, and how much was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fracpool.settings import finding_forms


def extended(before: Mapping[str, Any], findings: Mapping[str, Any], date: str, known: int) -> dict[str, Any]:
    """The history of the sweep file `before` with the rules of today's findings, by the finding's id.

    Each has a list of {since, known, parts}: the date, the number of the experiment's runs that had a record then (null
    where an earlier version did not keep it), and the rule. `added` says that the experiment had been swept before
    without the finding, `beside` that nothing of the rule has changed and parts were added that do not count. What is
    not among the findings any more stays, so that it is known if it comes back.
    """
    history = {id_: list(rules) for id_, rules in (before.get("rules") or {}).items()}
    for id_, finding in (before.get("findings") or {}).items():  # of a version that kept no history
        history.setdefault(id_, [{"since": before.get("written"), "known": None, "parts": finding_forms.rule(finding)}])
    for id_, finding in findings.items():
        rules, rule = history.setdefault(id_, []), finding_forms.rule(finding)
        if not rules or rules[-1]["parts"] != rule:
            added = {"added": True} if before and not rules else {}
            beside = {"beside": True} if rules and _only_adds_beside(rules[-1]["parts"], rule) else {}
            rules.append({"since": date, "known": known, "parts": rule, **added, **beside})
    return history


def _only_adds_beside(before: Sequence[Mapping[str, Any]], rule: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all parts are still there that were, and none of the new ones counts."""
    new = list(rule)
    for part in before:
        if part not in new:
            return False
        new.remove(part)
    return not any(part.get("counts", True) for part in new)
