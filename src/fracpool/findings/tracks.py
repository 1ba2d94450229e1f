"""How FMP stood against max pooling, in one network and one form of test, after a shorter and a longer training.

The comparisons that a headline is made from are *designated*: parts of findings that say `headline: true` and count,
or, where no such part was run, those about a claim of the answer (`answer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fracpool.findings.rules.part import Part
from fracpool.findings.sighting import Sighting
from fracpool.findings.verdicts import Finding
from fracpool.table.variant import network_key

BUDGET = ("budget.",)


@dataclass(frozen=True)
class Track:
    """Sightings of one pair of networks in one form of test, from the shortest training on."""

    sightings: tuple[Sighting, ...]

    @property
    def first(self) -> Sighting:
        return self.sightings[0]

    @property
    def last(self) -> Sighting:
        return self.sightings[-1]

    @property
    def is_long(self) -> bool:
        """Whether it tells what longer training changes."""
        return self.first.images != self.last.images

    @property
    def data(self) -> str:
        return self.last.data

    @property
    def pair(self) -> tuple[str, ...]:
        """Equal for the same networks, however long they are trained and however they are tested."""
        a, b = self.last.a, self.last.b
        return network_key(a, BUDGET), a.pool, network_key(b, BUDGET), b.pool


def designated(findings: Sequence[Finding]) -> list[Track] | None:
    """The tracks of the designated comparisons of FMP with max pooling; None where the study is about others."""
    marked = [part for finding in findings for part in finding.counted if part.headline]
    if any(part.sightings and not _is_swap(part) for part in marked):
        return None
    found = _tracks(marked)
    if not found:
        asked = {part.answer for finding in findings for part in finding.counted if part.answer and part.sightings}
        found = _tracks(part for finding in findings for part in finding.parts if part.answer in asked)
    return found or None


def without_runs(findings: Sequence[Finding]) -> list[str]:
    """The findings whose designated comparisons were not seen, as far as none of them was."""
    marked = {f.id: [part for part in f.counted if part.headline] for f in findings}
    return [id_ for id_, parts in marked.items() if parts and not any(part.sightings for part in parts)]


def _is_swap(part: Part) -> bool:
    return bool(part.sightings) and all(seen.is_swap for seen in part.sightings)


def _tracks(parts: Iterable[Part]) -> list[Track]:
    """Sightings of the same networks in the same form are one track, whichever part they stand in."""
    found: dict[tuple[str, ...], dict[int, Sighting]] = {}
    for part in parts:
        for seen in part.sightings if _is_swap(part) else ():
            key = (*Track((seen,)).pair, str(seen.a.settings.get("dataset")), seen.form)
            known = found.setdefault(key, {}).get(seen.images)
            if known is None or seen.gap.n > known.gap.n:
                found[key][seen.images] = seen
    return [Track(tuple(by_images[images] for images in sorted(by_images))) for by_images in found.values()]
