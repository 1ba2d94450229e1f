"""An experiment as its sweep file describes it: variants, planned runs and findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fracpool.records.plain_text import text
from fracpool.records.record import RecordError
from fracpool.settings.names import distinct_names, flatten
from fracpool.table.rows import checked_geometry
from fracpool.table.variant import Variant


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
        names = distinct_names([(label, flatten(config)) for _, label, config, _ in labelled])
        return Experiment(
            name=text(name),
            title=text(sweep.get("title") or name),
            question=text(sweep.get("question") or "", 600),
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
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"not a sweep file ({type(error).__name__}: {error})") from None


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
