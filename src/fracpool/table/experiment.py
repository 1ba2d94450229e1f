"""An experiment as its sweep file describes it: variants, planned runs and findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fracpool.records.plain_text import text
from fracpool.records.record import RecordError
from fracpool.settings.names import flatten
from fracpool.table.rows import check_config, checked_geometry
from fracpool.table.source import Source, source_of
from fracpool.table.variant import Variant
from fracpool.table.variant_names import short_names


@dataclass(frozen=True)
class Experiment:
    """What a sweep file says: the variants of the newest sweep, its planned runs and its findings."""

    name: str
    title: str
    question: str
    variants: tuple[Variant, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()
    planned: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    impossible: tuple[Mapping[str, str], ...] = ()
    not_run: str | None = None
    command: str = ""
    commit: str = ""
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    source: Source | None = None
    chapter: str = ""


@dataclass(frozen=True)
class Rule:
    """That a finding is judged by another rule since a date, when so many runs were known.

    `added`: that it is judged at all. `beside`: that its rule is what it was, with comparisons beside it that do not
    count. `known` is None of a rule that came before fracpool kept the history.
    """

    since: str
    known: int | None
    added: bool
    beside: bool = False


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts F2 before F10."""
    return [(int(piece[:18]), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)]


# ---- sweep files → experiments ----


def experiment_of(name: str, sweep: Mapping[str, Any]) -> Experiment:
    try:
        variants = sweep.get("variants") or []
        labelled = [
            (text(v["variant_id"]), text(v["label"]), v["config"], checked_geometry(v.get("geometry") or {}))
            for v in variants
        ]
        for _, _, config, _ in labelled:
            check_config(config)
        names = short_names([(label, flatten(config)) for _, label, config, _ in labelled])
        return Experiment(
            name=text(name),
            title=text(sweep.get("title") or name),
            question=text(sweep.get("question") or "", 600),
            chapter=text(sweep.get("chapter") or ""),
            variants=tuple(
                Variant(id_, shown, config, geometry)
                for (id_, _, config, geometry), shown in zip(labelled, names, strict=True)
            ),
            findings=_findings(sweep.get("findings") or []),
            planned=tuple(dict.fromkeys(_texts(sweep.get("runs")))),
            older=tuple(_texts(sweep.get("older"))),
            impossible=tuple(
                {"label": text(entry["label"]), "reason": text(entry["reason"], 600)}
                for entry in sweep.get("impossible") or []
            ),
            not_run=text(sweep["not_run"], 600) if sweep.get("not_run") else None,
            command=text(sweep.get("command") or "", 2000),
            commit=text(sweep.get("commit") or ""),
            rules={
                text(id_): tuple(_rule(rule) for rule in rules) for id_, rules in (sweep.get("rules") or {}).items()
            },
            source=source_of(sweep),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"not a sweep file ({type(error).__name__}: {error})") from None


def _rule(given: Mapping[str, Any]) -> Rule:
    known = given["known"]
    return Rule(
        text(given["since"], 40),
        None if known is None else int(known),
        bool(given.get("added")),
        bool(given.get("beside")),
    )


def by_first_finding(experiment: Experiment) -> tuple[Any, str]:
    ids = [natural(str(finding.get("id"))) for finding in experiment.findings]
    return min(ids, default=natural("~")), experiment.name


def _findings(given: Any) -> tuple[Mapping[str, Any], ...]:
    """Findings as a list of {id, …}; a mapping id → finding, as the YAML has it, is the same thing."""
    if isinstance(given, Mapping):
        return tuple({"id": str(key), **value} for key, value in given.items())
    return tuple(dict(finding) for finding in given)


def _texts(values: Any) -> list[str]:
    return [text(value) for value in values or ()]
