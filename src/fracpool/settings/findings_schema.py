"""What findings may say: the kinds of their parts, and the keys of each (what they select: `selectors`).

Both who plans a sweep and who judges it read this one description, so that what is judged was checked before it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fracpool.records.plain_text import text
from fracpool.settings.refusal import SettingsError, nearest, one_of, require

ACCURACIES = (
    "test_accuracy",
    "averaged_accuracy",
    "deterministic_accuracy",
    "views_accuracy",
    "even_views_accuracy",
)
_MEASURES = [f"{form.removesuffix('accuracy')}{of}" for of in ("likelihood", "calibration") for form in ACCURACIES]
METRICS = (*ACCURACIES, *_MEASURES, "test_consistency", "deterministic_consistency")  # shares, the larger the better
FORMS = {"even": "deterministic_accuracy", "averaged": "averaged_accuracy"}  # see `finding_forms`
FINDING_KEYS = ("claim", "source", "comparison", "parts", "forms")


@dataclass(frozen=True)
class Key:
    """A key of a part: which values it takes, and `allowed`, which says so in words."""

    fits: Callable[[Any], bool]
    allowed: str
    required: bool = True


# ---- values ----


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_fraction(value: Any, least: float = -1) -> bool:
    return _is_number(value) and least <= value <= 1


def _is_range(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_is_fraction, value)) and value[0] <= value[1]


def _is_time(value: Any) -> bool:
    return value == "end" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_selector(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


# ---- kinds ----

ONE = Key(_is_selector, "settings and values that mean one network, such as {pool.kind: max}")
SOME = Key(_is_selector, "settings and values, such as {pool.kind: [max, fmp]}")
SOME_OR_ALL = Key(_is_selector, f"{SOME.allowed}; leave it out for all", required=False)
_MARGIN = Key(lambda value: _is_fraction(value, 0) and value > 0, "a fraction above 0 and up to 1: 0.01 is one point")
_WIDTH = Key(lambda value: _is_fraction(value, 0), "a fraction from 0 to 1: 0.01 is one point")
_RANGE = Key(_is_range, "two fractions, the lower first, such as [-0.20, -0.15]")
_LEVEL = Key(lambda value: _is_fraction(value, 0), "an accuracy from 0 to 1")
_METRIC = Key(lambda value: value in METRICS, one_of(METRICS), required=False)
_AT = Key(
    lambda value: _is_time(value) or (isinstance(value, list) and bool(value) and all(map(_is_time, value))),
    "an epoch from 1, end, or a list of these",
    required=False,
)
_WHEN = {"at": _AT, "metric": _METRIC}
_PAIR = {"a": ONE, "b": ONE, **_WHEN, "metric_b": _METRIC}  # metric_b: of b, where it is tested in another form

EVERY_PART = {
    "kind": Key(_is_text, "one of the kinds"),
    "title": Key(_is_text, "a text", required=False),
    "counts": Key(_is_flag, "true or false", required=False),
    "headline": Key(_is_flag, "true or false", required=False),
    "answer": Key(_is_text, "a claim of the answer in its own words", required=False),
    "claimed_epochs": Key(_is_size, "a whole number of epochs from 1", required=False),
}
NO_RULE = ("title", "answer", "claimed_epochs")  # keys of a part that say how it is told, not how it is judged
KINDS: dict[str, dict[str, Key]] = {
    "final_size": {"variant": ONE, "size": Key(_is_size, "a whole number of cells from 1")},
    "gap": {**_PAIR, "range": _RANGE, "margin": _WIDTH},
    "comparable": {**_PAIR, "margin": _MARGIN},
    "better": {**_PAIR, "margin": _MARGIN},
    "reaches": {"variant": ONE, "level": _LEVEL, "margin": _WIDTH, **_WHEN},
    "ranking": {"variants": SOME_OR_ALL, "first": ONE, **_WHEN},
    "improvement": {"a": SOME, "b": SOME, "tasks": Key(_is_text, "a setting, such as dataset.name"), **_WHEN},
    "since": {
        "a": SOME,
        "b": SOME,
        "along": Key(_is_text, "a setting, such as budget.epochs"),
        "relation": Key(lambda value: value in ("level", "ahead"), "level or ahead"),
        "margin": _MARGIN,
        "metric": _METRIC,
        "metric_b": _METRIC,
    },
    "check": {
        "variant": SOME_OR_ALL,
        "metric": Key(_is_text, "the name of a metric of the record"),
        "limit": Key(lambda value: _is_number(value) or _is_text(value), "a number or the name of a metric"),
        "above": Key(_is_flag, "true or false", required=False),
    },
}
MATCHED = {  # of `better` where `match` takes the place of fixed networks
    "match": Key(lambda value: value == "final_size", "final_size, the only one"),
    "a": SOME_OR_ALL,
    "b": SOME_OR_ALL,
    "margin": _MARGIN,
    **_WHEN,
}


def keys_of(part: Mapping[str, Any]) -> dict[str, Key]:
    """The keys that a part of this kind has, beside those of every part."""
    return MATCHED if part["kind"] == "better" and "match" in part else KINDS[part["kind"]]


def has_forms(part: Mapping[str, Any]) -> bool:
    """Whether a part is about accuracies, which may be of any form of test."""
    return keys_of(part).get("metric") is _METRIC


def check(findings: Any) -> None:
    """Raises SettingsError for the first thing in an experiment's findings that no rule reads."""
    require(isinstance(findings, Mapping), "experiment.findings", findings, "a mapping of ids to findings")
    for id_, finding in findings.items():
        name = f"experiment.findings.{id_}"
        require(isinstance(finding, Mapping), name, finding, f"a mapping of {', '.join(FINDING_KEYS)}")
        _refuse_unknown(name, finding, FINDING_KEYS, "a finding has none")
        for key in ("claim", "source", "comparison"):
            value = finding.get(key, "" if key != "claim" else None)
            require(isinstance(value, str), f"{name}.{key}", value, "a text")
        forms = finding.get("forms", [])
        known = isinstance(forms, list) and all(form in tuple(FORMS) for form in forms)
        require(known, f"{name}.forms", forms, f"a list of {', '.join(FORMS)}")
        parts = finding.get("parts")
        require(isinstance(parts, list) and bool(parts), f"{name}.parts", parts, "a list of what is compared")
        for number, part in enumerate(parts or ()):
            check_part(part, f"{name}.parts[{number}]")


def check_part(part: Any, name: str, known_only: bool = True) -> None:
    """The same for one part, which is called `name`; a key that no rule reads is let pass without `known_only`."""
    require(isinstance(part, Mapping), name, part, "a mapping with a kind")
    kind = part.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SettingsError(f"{name}.kind={text(kind, 40)}: no such kind; {nearest(str(kind), list(KINDS))}")
    known = {**EVERY_PART, **keys_of(part)}
    if known_only:
        _refuse_unknown(name, part, known, f"kind {kind} has none")
    for key, what in known.items():
        if key in part:
            require(what.fits(part[key]), f"{name}.{key}", text(part[key], 80), what.allowed)
        elif what.required:
            raise SettingsError(f"{name}: kind {kind} needs {key}: {what.allowed}")
    if kind == "gap":
        is_wide = part["margin"] > 0 or part["range"][0] < part["range"][1]
        require(is_wide, f"{name}.margin", part["margin"], "above 0 where the range is one value")
    before_end = any(at != "end" for at in times(part))
    allowed = "test_accuracy before the end, the only one that is known then"
    metric = part.get("metric", METRICS[0])
    require(kind == "check" or not before_end or metric == METRICS[0], f"{name}.metric", metric, allowed)


def _refuse_unknown(name: str, given: Mapping[str, Any], known: Any, having: str) -> None:
    for key in given:
        if key not in known:
            raise SettingsError(f"{name}.{text(key, 40)}: no such key, {having}; {nearest(str(key), list(known))}")


def times(part: Mapping[str, Any]) -> list[Any]:
    at = part.get("at", "end")
    return at if isinstance(at, list) else [at]
