"""What findings may say: the kinds of their parts, the keys of each, and how a selector means networks of a sweep.

Both who plans a sweep and who judges it read this one description, so that what is judged was checked before it ran.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from fracpool.records.plain_text import count, text
from fracpool.settings.names import flatten
from fracpool.settings.refusal import SettingsError, nearest, nearest_setting, one_of, require
from fracpool.settings.schema import Settings

METRICS = (
    "test_accuracy",
    "averaged_accuracy",
    "deterministic_accuracy",
    "views_accuracy",
    "even_views_accuracy",
)
FORMS = {"even": "deterministic_accuracy", "averaged": "averaged_accuracy"}  # see `finding_forms`
FINDING_KEYS = ("claim", "source", "comparison", "parts", "forms")
Network = TypeVar("Network")
Flat = Mapping[str, Any]  # the settings of a network by dotted key: {"pool.kind": "fmp", …}


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

_ONE = Key(_is_selector, "settings and values that mean one network, such as {pool.kind: max}")
_SOME = Key(_is_selector, "settings and values, such as {pool.kind: [max, fmp]}")
_SOME_OR_ALL = Key(_is_selector, f"{_SOME.allowed}; leave it out for all", required=False)
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
_PAIR = {"a": _ONE, "b": _ONE, **_WHEN, "metric_b": _METRIC}  # metric_b: of b, where it is tested in another form

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
    "final_size": {"variant": _ONE, "size": Key(_is_size, "a whole number of cells from 1")},
    "gap": {**_PAIR, "range": _RANGE, "margin": _WIDTH},
    "comparable": {**_PAIR, "margin": _MARGIN},
    "better": {**_PAIR, "margin": _MARGIN},
    "reaches": {"variant": _ONE, "level": _LEVEL, "margin": _WIDTH, **_WHEN},
    "ranking": {"variants": _SOME_OR_ALL, "first": _ONE, **_WHEN},
    "improvement": {"a": _SOME, "b": _SOME, "tasks": Key(_is_text, "a setting, such as dataset.name"), **_WHEN},
    "since": {
        "a": _SOME,
        "b": _SOME,
        "along": Key(_is_text, "a setting, such as budget.epochs"),
        "relation": Key(lambda value: value in ("level", "ahead"), "level or ahead"),
        "margin": _MARGIN,
        "metric": _METRIC,
        "metric_b": _METRIC,
    },
    "check": {
        "variant": _SOME_OR_ALL,
        "metric": Key(_is_text, "the name of a metric of the record"),
        "limit": Key(lambda value: _is_number(value) or _is_text(value), "a number or the name of a metric"),
        "above": Key(_is_flag, "true or false", required=False),
    },
}
MATCHED = {  # of `better` where `match` takes the place of fixed networks
    "match": Key(lambda value: value == "final_size", "final_size, the only one"),
    "a": _SOME_OR_ALL,
    "b": _SOME_OR_ALL,
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
    before_end = any(at != "end" for at in _times(part))
    allowed = "test_accuracy before the end, the only one that is known then"
    metric = part.get("metric", METRICS[0])
    require(kind == "check" or not before_end or metric == METRICS[0], f"{name}.metric", metric, allowed)


def _refuse_unknown(name: str, given: Mapping[str, Any], known: Any, having: str) -> None:
    for key in given:
        if key not in known:
            raise SettingsError(f"{name}.{text(key, 40)}: no such key, {having}; {nearest(str(key), list(known))}")


def _times(part: Mapping[str, Any]) -> list[Any]:
    at = part.get("at", "end")
    return at if isinstance(at, list) else [at]


# ---- selectors ----


def matches(settings: Flat, selector: Mapping[str, Any]) -> bool:
    """Whether a network has all these values; a list of values stands for any of them."""
    return all(holds(settings.get(key, LEFT_OUT.get(key, _ABSENT)), wanted) for key, wanted in selector.items())


_ABSENT = object()
# What `identity.config` leaves out where it has this value: a selector may name it all the same.
LEFT_OUT = {
    "dataset.held_out": None,
    "augmentation.flip": None,
    "augmentation.shift": 0,
    "test_shift": 0,
    "views": None,
    "precision": "float32",
    "backend": "tensorflow",
    "trainer.strategy": "single",
}


def holds(seen: Any, wanted: Any) -> bool:
    """Whether a setting has the wanted value, or one of a list of them."""
    return _same(seen, wanted) or (isinstance(wanted, list) and any(_same(seen, one) for one in wanted))


def _same(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, bool) or isinstance(wanted, bool):
        return seen is wanted
    if isinstance(seen, int | float) and isinstance(wanted, int | float):
        return math.isclose(seen, wanted, rel_tol=1e-9)
    return bool(seen == wanted)


def told(selector: Mapping[str, Any]) -> str:
    """A selector in words: pool.kind=max, model.conv_layers=2."""
    return ", ".join(f"{text(key, 60)}={text(value, 60)}" for key, value in selector.items()) or "any settings"


# ---- findings against the networks of a sweep ----


@dataclass(frozen=True)
class Unmet:
    """Something that a finding asks for and a sweep does not have: the line that says so, and the settings at fault."""

    line: str
    about: frozenset[str] = frozenset()


def unmet(findings: Mapping[str, Any], networks: Sequence[Flat], impossible: Sequence[Flat]) -> Iterator[Unmet]:
    """What checked findings ask for that a sweep over these networks cannot give.

    `impossible` are the networks of the grid that cannot be built: what means one of them is not at fault.
    """
    sweep = _Sweep(networks, impossible)
    for id_, finding in findings.items():
        for number, part in enumerate(finding["parts"]):
            yield from sweep.unmet(part, f"experiment.findings.{id_}.parts[{number}]")


def _fields() -> Flat:
    """The fields of a run's settings, whether the networks of a sweep have them or not."""
    return flatten(asdict(Settings()))


class _Sweep:
    def __init__(self, networks: Sequence[Flat], impossible: Sequence[Flat]) -> None:
        self.networks, self.impossible = networks, impossible
        self.known = dict.fromkeys(key for settings in (*networks, *impossible, _fields()) for key in settings)

    def unmet(self, part: Mapping[str, Any], name: str) -> Iterator[Unmet]:
        found: list[Flat] = []
        for key, what in keys_of(part).items():
            if what not in (_ONE, _SOME, _SOME_OR_ALL):
                continue
            selector = part.get(key, {})
            if key == "first":  # one of the set
                selector = {**part.get("variants", {}), **selector}
            meant = [settings for settings in self.networks if matches(settings, selector)]
            found += meant
            if not meant:
                yield from self._none(selector, f"{name}.{key}")
            elif what is _ONE and len(meant) > 1:
                yield self._several(selector, meant, f"{name}.{key}")
        for key in ("tasks", "along"):
            if key in part and found:
                yield from self._tasks(part, key, name)
        for at in _times(part) if part["kind"] != "final_size" else ():
            epochs = [settings.get("budget.epochs") for settings in found]
            fewest = min((e for e in epochs if isinstance(e, int)), default=None)
            if at != "end" and fewest is not None and at > fewest:
                line = f"{name}.at={at}: must be at most budget.epochs={fewest}, with which its networks are trained"
                yield Unmet(line, frozenset({"budget.epochs"}))

    def _none(self, selector: Mapping[str, Any], name: str) -> Iterator[Unmet]:
        for key in selector:
            if key not in self.known:
                line = (
                    f"{name}: {text(key, 60)} is no setting of this sweep's networks; {nearest(key, list(self.known))}"
                )
                yield Unmet(line)
                return
        if any(matches(settings, selector) for settings in self.impossible):
            return
        for key, wanted in selector.items():
            values = dict.fromkeys(text(settings[key], 60) for settings in self.networks if key in settings)
            if not any(holds(settings.get(key, _ABSENT), wanted) for settings in self.networks):
                line = (
                    f"{name}: no network of this sweep has {told({key: wanted})}; {nearest(str(wanted), list(values))}"
                )
                yield Unmet(line, frozenset({key}))
                return
        yield Unmet(f"{name}: no network of this sweep has {told(selector)} at once", frozenset(selector))

    def _several(self, selector: Mapping[str, Any], meant: Sequence[Flat], name: str) -> Unmet:
        keys = dict.fromkeys(key for settings in meant for key in settings)
        apart = [key for key in keys if len({repr(settings.get(key)) for settings in meant}) > 1]
        line = (
            f"{name}: {count(len(meant), 'network')} of this sweep have {told(selector)} and one is needed; "
            f"they differ in {', '.join(apart[:5])}, which it should name as well"
        )
        return Unmet(line, frozenset(apart))

    def _tasks(self, part: Mapping[str, Any], key: str, name: str) -> Iterator[Unmet]:
        setting = part[key]
        if setting not in self.known:
            yield Unmet(f"{name}.{key}={setting}: no such setting; {nearest_setting(setting, list(self.known))}")
            return
        a, b = (by_task(self.networks, lambda settings: settings, part[side], setting) for side in ("a", "b"))
        for side, tasks in (("a", a), ("b", b)):
            for meant in tasks.values():
                if len(meant) > 1:
                    yield self._several({**part[side], setting: meant[0].get(setting)}, meant, f"{name}.{side}")
                    return
        if set(a) != set(b):
            apart = ", ".join(sorted(set(a) ^ set(b)))
            line = f"{name}: a and b need networks for the same values of {setting}; only one has {apart}"
            yield Unmet(line, frozenset({setting, *part["a"], *part["b"]}))


def by_task(
    networks: Sequence[Network], settings: Callable[[Network], Flat], selector: Mapping[str, Any], setting: str
) -> dict[str, list[Network]]:
    """The networks that a selector means, by the value of the setting that tells tasks apart."""
    found: dict[str, list[Network]] = {}
    for network in networks:
        if matches(settings(network), selector):
            found.setdefault(text(settings(network).get(setting)), []).append(network)
    return found
