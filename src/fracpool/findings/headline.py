"""The headline of a study of FMP and max pooling: at most three clauses, each made from designated comparisons.

A clause has a lead, which names budget, form of test and the size of the difference, and the sentences behind it.
Differences are FMP minus max pooling, in points; which of both is ahead is told by the interval, and level only by a
test of equivalence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fracpool.findings.sighting import AHEAD, BEHIND, LEVEL, OPEN, Sighting, in_words, listed, networks
from fracpool.findings.statistics import MIN_SEEDS, Estimate, digits_of
from fracpool.findings.tracks import Track
from fracpool.records.plain_text import count, points, text
from fracpool.table.variant_names import DATA_SETS

MOST_CLAUSES, MOST_TOLD = 3, 3
SAMPLE = {"mnist5k": "5,000 MNIST digits"}
AGAINST = {AHEAD: "ahead of", BEHIND: "behind", LEVEL: "level with", OPEN: "undecided against"}
SHOWN = {AHEAD: "ahead", BEHIND: "behind", LEVEL: "level", OPEN: "undecided"}


@dataclass(frozen=True)
class Clause:
    """What one kind of comparisons on one data set says: in short, and in sentences with intervals and seeds.

    Those are shown apart from the leads, so each names its data.
    """

    lead: str
    evidence: tuple[str, ...]


def clauses(tracks: Sequence[Track]) -> list[Clause]:
    """At most three, comparisons along the length of training first, then the most accurate networks.

    What was seen after one budget is told with what longer training came to, where both come out alike.
    """
    groups: dict[tuple[str, bool], list[Track]] = {}
    for track in tracks:
        groups.setdefault((track.data, track.is_long), []).append(track)
    in_order = sorted(groups.items(), key=lambda group: (not group[0][1], -max(t.last.base for t in group[1])))
    shown = []
    for (data, is_long), found in in_order:
        other = groups.get((data, not is_long), [])
        if is_long:
            shown.append(_along(data, found, other if _alike(found, other) else ()))
        elif not _alike(other, found):
            shown.append(_at_end(data, found))
    return shown[:MOST_CLAUSES]


def _alike(long: Sequence[Track], others: Sequence[Track]) -> bool:
    outcomes = {track.last.outcome for track in (*_best_of_pairs(long), *_fair(others))}
    return bool(long) and bool(others) and len(outcomes) == 1


# ---- along the length of training ----


def _along(data: str, tracks: Sequence[Track], beside: Sequence[Track]) -> Clause:
    best = _best_of_pairs(tracks)
    firsts, lasts = {t.first.outcome for t in best}, {t.last.outcome for t in best}
    before, after = _same(t.first.budget for t in best), _same(t.last.budget for t in best)
    before, after = before or "a short training", after or "a longer one"
    form = _same(t.last.form for t in best) or "its best test"
    if all(track.last.gap.n < MIN_SEEDS for track in tracks):
        return Clause(_too_few(data, best), (_courses(best),))
    told = f"On {name_of(data)} FMP"
    tested = f"({_sizes(t.last for t in best)}, tested in {form})"
    span = f"after {_without_unit(before, after)} and after {after}"
    if lasts == {AHEAD}:
        how = (
            f"needs training: behind after {before}, ahead after {_epochs(before, after)}" if firsts == {BEHIND} else ""
        )
        lead = f"{told} {how or f'is ahead after {after}'} {tested}."
    elif lasts == {BEHIND}:
        lead = f"{told} stays behind, {span} {tested}."
    elif AHEAD not in lasts and BEHIND not in lasts:
        end = "level" if lasts == {LEVEL} else "undecided"
        start = f"comes closer with training: behind after {before}," if firsts == {BEHIND} else "is"
        lead = f"{told} {start} {end} after {after} {tested}."
    else:
        lead = f"On {name_of(data)}, after {after} and tested in {form}, {_each(best[:MOST_TOLD])}."
    return Clause(lead, (_courses(best), *_other_forms(tracks, best), *_networks(beside)))


def _each(tracks: Sequence[Track]) -> str:
    """FMP is ahead with two convolutions (+0.3 points) and behind with three convolutions (−0.2 points); or, where only
    max pooling's convolutions differ in number: FMP with six convolutions is ahead of max pooling with three (+2.3
    points) and behind max pooling with six (−1.4 points)"""
    seen = [track.last for track in tracks]
    if len({s.a.depth for s in seen}) == 1 and len({s.b.depth for s in seen}) == len(seen):
        each = [f"{AGAINST[s.outcome]} max pooling with {in_words(s.b.depth)} ({_size(s)})" for s in seen]
        return f"FMP with {in_words(seen[0].a.depth)} convolutions is {listed(each)}"
    return f"FMP is {listed([f'{SHOWN[s.outcome]} {networks(s)} ({_size(s)})' for s in seen])}"


def _too_few(data: str, tracks: Sequence[Track]) -> str:
    seen = max((track.last for track in tracks), key=lambda last: last.gap.n)
    seeds = count(seen.gap.n, "seed")
    return f"On {name_of(data)} nothing is decided after {seen.budget}: {seeds} of at least {MIN_SEEDS} ({seen.form})."


def _courses(best: Sequence[Track]) -> str:
    uneven = any(track.last.a.depth != track.last.b.depth for track in best)
    told = listed([_course(track, uneven) for track in best[:MOST_TOLD]])
    form = _same(track.last.form for track in best) or "each in its best test"
    return f"On {name_of(best[0].data)} the difference goes {told} ({form}, {_n(*(track.last for track in best))})."


def _course(track: Track, both: bool) -> str:
    """from −1.3 points after 1 epoch to +0.22 [+0.14, +0.29] after 30 with two convolutions"""
    first, last = track.first, track.last
    before, after = gap(first.gap, interval=False), gap(last.gap)
    ends = f"to {after} after {_epochs(first.budget, last.budget)}"
    return f"from {before} points after {first.budget} {ends} {networks(last, both)}"


def _other_forms(tracks: Sequence[Track], best: Sequence[Track]) -> list[str]:
    """A form of test in which the same networks end otherwise; nothing where there is none."""
    of_pair = {track.pair: track for track in best}
    others = [t for t in tracks if t.pair in of_pair and t.last.outcome != of_pair[t.pair].last.outcome]
    if not others:
        return []
    other = min(others, key=lambda track: track.last.gap.mean).last
    told = f"tested in {other.form}, FMP {networks(other)} is still {SHOWN[other.outcome]} after {other.budget}"
    return [f"On {name_of(other.data)}, {told}: {gap(other.gap)}."]


# ---- after one budget ----


def _at_end(data: str, tracks: Sequence[Track]) -> Clause:
    """The lead is about what was trained as the most accurate network was; the others follow."""
    fair = _fair(tracks)
    most = max(fair, key=lambda track: track.last.base)
    tracks = [track for track in fair if track.last.budget == most.last.budget]
    few = all(track.last.gap.n < MIN_SEEDS for track in tracks)
    forms = " or ".join(dict.fromkeys(track.last.form for track in tracks))
    outcomes = {track.last.outcome for track in tracks}
    if outcomes == {AHEAD}:
        how = "is ahead"
    elif outcomes == {BEHIND}:
        how = "is behind"
    elif AHEAD not in outcomes:
        how = "gains nothing or loses" if BEHIND in outcomes else "is level" if outcomes == {LEVEL} else "is undecided"
    else:
        how = "is ahead in some tests and not in others"
    lead = (
        f"In a network that max pooling takes to {100 * most.last.base:.1f} % on {name_of(data)}, FMP {how} "
        f"after {most.last.budget} "
        f"({_sizes(t.last for t in tracks if t.pair == most.pair)}, tested in {forms})."
    )
    lead = _too_few(data, tracks) if few else lead
    return Clause(lead, tuple(_networks(fair)))


def _networks(tracks: Sequence[Track]) -> list[str]:
    """What was seen in each network, the most accurate first; nothing where there is none.

    Where they are too many, each length of training keeps its most accurate one before another has two.
    """
    by_network: dict[tuple[str, ...], list[Track]] = {}
    for track in sorted(_fair(tracks), key=lambda track: -track.last.base):
        by_network.setdefault(track.pair, []).append(track)
    in_order = list(by_network.values())
    best = list({found[0].last.budget: found for found in reversed(in_order)}.values())
    kept = sorted(in_order, key=lambda found: found not in best)[:MOST_TOLD]
    return [_in_network(found) for found in in_order if found in kept]


def _in_network(tracks: Sequence[Track]) -> str:
    """Where max pooling reaches 92.9 % on CIFAR-10 after 11 epochs, FMP is at −0.19 [−0.58, +0.20] in six views."""
    shown = [f"{gap(t.last.gap)} in {t.last.form}" for t in sorted(tracks, key=lambda t: -t.last.gap.mean)]
    strongest = max(tracks, key=lambda track: track.last.base).last
    layers = f" {networks(strongest)}" if strongest.a.depth != strongest.b.depth else ""
    reached = f"{100 * strongest.base:.1f} % on {name_of(tracks[0].data)} after {strongest.budget}"
    return f"Where max pooling reaches {reached}, FMP{layers} is at {listed(shown)} ({_n(*(t.last for t in tracks))})."


# ---- words ----


def name_of(data: str) -> str:
    return SAMPLE.get(data) or DATA_SETS.get(data) or text(data, 60)


def gap(seen: Estimate, interval: bool = True) -> str:
    """In points, to a hundredth where it is less than one: −0.37 [−0.59, −0.16]."""
    digits = digits_of(seen.mean)
    if not interval or seen.low is None or seen.high is None:
        return points(seen.mean, digits)
    return f"{points(seen.mean, digits)} [{points(seen.low, digits)},\u00a0{points(seen.high, digits)}]"


def _size(seen: Sighting) -> str:
    return f"{gap(seen.gap, interval=False)} points"


def _sizes(seen: Iterable[Sighting]) -> str:
    """The least and the most of them: +0.17 to +0.22 points; to a tenth where one is a point or more."""
    found = sorted(each.gap.mean for each in seen)
    digits = min(digits_of(found[0]), digits_of(found[-1]))
    return f"{' to '.join(dict.fromkeys(points(mean, digits) for mean in (found[0], found[-1])))} points"


def _n(*seen: Sighting) -> str:
    found = sorted({each.gap.n for each in seen})
    return f"n\u00a0=\u00a0{found[0]}" + (f" to {found[-1]}" if len(found) > 1 else "")


def _epochs(before: str, after: str) -> str:
    """The longer of two trainings, without its unit where the shorter has just named it: 1 epoch, then 30."""
    number, _, unit = after.partition(" ")
    return number if unit in ("epoch", "epochs") and before.partition(" ")[2] in ("epoch", "epochs") else after


def _without_unit(before: str, after: str) -> str:
    """The shorter of two trainings, without its unit where the longer names it next: after 3 and after 10 epochs."""
    number, _, unit = before.partition(" ")
    return number if unit == after.partition(" ")[2] else before


def _same(words: Iterable[str]) -> str:
    """What all of them say; nothing where they differ."""
    found = set(words)
    return found.pop() if len(found) == 1 else ""


def _fair(tracks: Sequence[Track]) -> Sequence[Track]:
    """Those at equal test effort, where there are any."""
    return [track for track in tracks if track.last.equal_effort] or tracks


def _best_of_pairs(tracks: Sequence[Track]) -> list[Track]:
    """Of each pair of networks the form of test in which FMP ends highest, at equal effort where there is one."""
    of_pair: dict[tuple[str, ...], list[Track]] = {}
    for track in tracks:
        of_pair.setdefault(track.pair, []).append(track)
    return [max(_fair(found), key=lambda track: track.last.gap.mean) for found in of_pair.values()]
