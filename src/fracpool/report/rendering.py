"""From numbers to text: the templates' environment and filters, for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from fracpool.findings import statistics, words
from fracpool.findings.rules.part import ALPHA, REPRODUCED, Part
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import points, text
from fracpool.report.citation import OP, PAPER

BRIEF = 110  # characters of an alternative text in Markdown, whose readers have the caption as well

# ---- templates ----


def templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "md": _markdown,
        "in_html": _in_html,
        "percent": lambda value: "–" if value is None or pd.isna(value) else f"{100 * value:.2f}",
        "count": _count,
        "cost": _cost,
        "points": points,
        "seconds": lambda value: "–" if value is None or pd.isna(value) else f"{value:.2f}",
        "slug": lambda verdict: verdict.replace(" ", "-"),
        "inline_svg": lambda figure: Markup(figure.inline),
        "p_value": _p_value,
        "details": _details,
        "word": words.word,
        "told": lambda part: words.told(words.word(part), part),
        "estimate": _estimate,
        "brief": lambda given: text(given, BRIEF),
    }
    environment.filters |= filters
    environment.globals |= {
        "method": statistics.METHOD,
        "alpha": ALPHA,
        "words": words.WORDS,
        "level": statistics.LEVEL,
        "paper": PAPER,
        "op": OP,
    }
    return environment


MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\*_{}[]#~$!"} | {ord(mark): f"&#{ord(mark)};" for mark in "&<>|`"}


IN_HTML = {ord(mark): f"&#{ord(mark)};" for mark in "\\*_{}[]#~$!&<>|`"}


def _in_html(value: Any) -> str:
    """Text inside a tag of a Markdown page, where a backslash escapes nothing."""
    return text(value, 2000).translate(IN_HTML)


def _markdown(value: Any) -> str:
    """Text as Markdown shows it: nothing in it is markup, a table cell stays one cell."""
    return text(value, 2000).translate(MARKDOWN)


def _estimate(found: Estimate | None) -> str:
    """An accuracy in per cent, with its interval where there is one."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{100 * found.mean:.2f}"
    return f"{100 * found.mean:.2f} [{100 * found.low:.2f},\u00a0{100 * found.high:.2f}]"


def _count(value: Any) -> str:
    """A whole number for people: 1 199 882 as 1.20 M."""
    if value is None or pd.isna(value):
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def _cost(row: Mapping[str, Any]) -> str:
    """The multiply-accumulates of a variant with a network; a pooling of the user's own may not tell them."""
    return "not counted" if row["macs"] is None and row["parameters"] is not None else _count(row["macs"])


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _improvements(given: Mapping[str, Any]) -> list[str]:
    """How often the one that was to be first is the better of two; the order itself is a figure."""
    others = [row for row in given.get("ranking", ()) if row["variant"] != given["first"]]
    if not others:
        return []
    chances = ", ".join(f"{row['variant']} {100 * row['improvement']:.0f} %" for row in others)
    return [f"probability that a run of {given['first']} is better than one of: {chances}"]


def _details(part: Part) -> list[str]:
    """The numbers behind a part's verdict, in words."""
    given, told = part.numbers, []
    if "mean_a" in given:
        told.append(f"{given['a']} {100 * given['mean_a']:.2f} %, {given['b']} {100 * given['mean_b']:.2f} %")
    if "p_for_holm" in given:
        holm = f" (Holm over {given['family']})" if given["family"] > 1 else ""
        told.append(f"p for {_p_value(given['p_for_holm'])}, against {_p_value(given['p_against_holm'])}{holm}")
    if part.kind == "better" and part.verdict == REPRODUCED and given["low"] <= 0:
        told.append("weak: the interval, which looks to both sides, reaches 0; the test looks to one, at 5 %")
    told += _improvements(given)
    test = given.get("mcnemar")
    if test:
        told.append(
            f"same test images (McNemar): a alone right on {test['only_a_right']:.0f}, b alone on "
            f"{test['only_b_right']:.0f}; they differ in {test['significant']} of {test['seeds']} seeds"
        )
    return told + part.notes[:5]
