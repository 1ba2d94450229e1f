"""The history of the rules by which findings are judged: what a rule was, since when, and how much was known then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fracpool.settings.findings_schema import NO_RULE


def extended(before: Mapping[str, Any], findings: Mapping[str, Any], date: str, known: int) -> dict[str, Any]:
    """The history of the sweep file `before` with the rules of today's findings, by the finding's id.

    Each has a list of {since, known, parts}: the date, the number of the experiment's runs that had a record then (null
    where an earlier version did not keep it), and the rule. `added` says that the experiment had been swept before
    without the finding. What is not among the findings any more stays, so that it is known if it comes back.
    """
    history = {id_: list(rules) for id_, rules in (before.get("rules") or {}).items()}
    for id_, finding in (before.get("findings") or {}).items():  # of a version that kept no history
        history.setdefault(id_, [{"since": before.get("written"), "known": None, "parts": _rule(finding)}])
    for id_, finding in findings.items():
        rules, rule = history.setdefault(id_, []), _rule(finding)
        if not rules or rules[-1]["parts"] != rule:
            added = {"added": True} if before and not rules else {}
            rules.append({"since": date, "known": known, "parts": rule, **added})
    return history


def _rule(finding: Mapping[str, Any]) -> list[Any]:
    """What decides: all of the parts but what they are called."""
    return [{key: value for key, value in part.items() if key not in NO_RULE} for part in finding["parts"]]
