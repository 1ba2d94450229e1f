"""Findings held against the networks of a sweep: what they ask for that it cannot give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fracpool.records.plain_text import count, text
from fracpool.settings.check import is_tested
from fracpool.settings.findings_schema import ONE, SOME, SOME_OR_ALL, keys_of, times
from fracpool.settings.names import flatten
from fracpool.settings.refusal import nearest, nearest_setting
from fracpool.settings.schema import Settings
from fracpool.settings.selectors import ABSENT, Flat, by_task, holds, matches, told


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
            if what not in (ONE, SOME, SOME_OR_ALL):
                continue
            selector = part.get(key, {})
            if key == "first":  # one of the set
                selector = {**part.get("variants", {}), **selector}
            meant = [settings for settings in self.networks if matches(settings, selector)]
            found += meant
            if not meant:
                yield from self._none(selector, f"{name}.{key}")
            elif what is ONE and len(meant) > 1:
                yield self._several(selector, meant, f"{name}.{key}")
        for key in ("tasks", "along"):
            if key in part and found:
                yield from self._tasks(part, key, name)
        for at in times(part) if part["kind"] != "final_size" else ():
            yield from self._untested(at, found, f"{name}.at={at}")

    def _untested(self, at: int | str, found: Sequence[Flat], name: str) -> Iterator[Unmet]:
        lengths = [(settings.get("budget.epochs"), settings.get("budget.test_every", 1)) for settings in found]
        known = [(epochs, between) for epochs, between in lengths if isinstance(epochs, int)]
        if at == "end" or not known:
            return
        fewest = min(epochs for epochs, _ in known)
        if int(at) > fewest:
            line = f"{name}: must be at most budget.epochs={fewest}, with which its networks are trained"
            yield Unmet(line, frozenset({"budget.epochs"}))
        for epochs, between in known:
            if not is_tested(int(at), epochs, between):
                line = f"{name}: must be a multiple of budget.test_every={between}, after which its networks are tested"
                yield Unmet(line, frozenset({"budget.test_every", "budget.epochs"}))
                return

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
            if not any(holds(settings.get(key, ABSENT), wanted) for settings in self.networks):
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
