"""The report in a real browser: nothing is fetched, nothing overflows, everything works and can be read.

Needs the package playwright (of the extra fracpool[test]) and a chromium: Debian's (apt-get install chromium) or
playwright's own (python -m playwright install chromium). Without them these tests are skipped and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import record_factory as factory

from fracpool.report import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'fracpool[test]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install 'fracpool[test]'")

pytestmark = pytest.mark.slow  # so that the quick suite takes as long with a browser as without

TELEPHONE, DESKTOP = 375, 1280
LONG, CHINESE = "W" * 200, "分数最大池化与普通最大池化的比较研究"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        own = running.chromium.executable_path
        path = shutil.which("chromium") or shutil.which("chromium-browser") or (own if Path(own).is_file() else None)
        if path is None:
            pytest.skip("needs chromium: apt-get install chromium, or python -m playwright install chromium")
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, quick: Path) -> Iterator[Any]:
    """The report of a whole quick profile, open as on a desktop; what it fetches and complains of is collected."""
    with browser.new_page(viewport={"width": DESKTOP, "height": 900}) as opened:
        opened.fetched, opened.complaints = [], []
        opened.on("request", lambda request: opened.fetched.append(request.url))
        opened.on("console", lambda message: opened.complaints.append(message.text))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.goto((quick / "report.html").as_uri())
        yield opened


def column(page: Any, number: int) -> list[str]:
    """The texts of a column of the variants that are shown."""
    cells = page.locator(f"#runs-table > tbody > tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def violations(page: Any) -> list[str]:
    """What axe finds against WCAG A and AA and its own good practices."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def test_it_fetches_nothing_and_complains_of_nothing(page: Any, quick: Path) -> None:
    page.get_by_role("button", name="Seeds").click()
    page.locator("#runs-filter").fill("fmp")
    page.wait_for_load_state("networkidle")
    assert page.fetched == [(quick / "report.html").as_uri()]
    assert page.complaints == []


def test_the_first_screen_holds_question_answer_verdicts_and_main_figure(page: Any) -> None:
    for selector in ("h1", ".headline", ".first figure svg", ".claims tbody tr"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] <= 900, selector


def test_runs_are_sorted_by_a_click_and_by_the_keyboard(page: Any) -> None:
    accuracy = page.get_by_role("button", name="One pass, %", exact=True)
    accuracy.click()
    rising = column(page, 6)
    accuracy.press("Enter")
    falling = column(page, 6)
    numbers = [float(text) for text in rising if text != "–"]
    assert len(numbers) > 20
    assert numbers == sorted(numbers)
    assert [float(text) for text in falling if text != "–"] == numbers[::-1]
    assert rising[-1] == falling[-1] == "–"  # what is missing comes last either way
    assert page.locator("#runs-table th[aria-sort=descending]").inner_text().startswith("One pass")


def test_runs_are_filtered_as_one_types(page: Any) -> None:
    page.locator("#runs-filter").press_sequentially("mnist_swap PSEUDORANDOM")
    shown = column(page, 2)
    assert shown
    assert all("pseudorandom" in name for name in shown)
    every = page.locator("#runs-table > tbody > tr").count()
    assert page.locator("#runs-count").inner_text() == f"{len(shown)} of {every} variants"


def test_every_run_is_found(page: Any, quick: Path) -> None:
    ids = page.locator("#runs-table .seeds td:last-child").all_text_contents()
    assert sorted(found.split()[0] for found in ids) == sorted(pd.read_csv(quick / "runs.csv")["run_id"])


def test_a_link_of_a_table_leads_to_its_runs_and_the_contents_stay_in_view(page: Any) -> None:
    experiment = page.locator(".experiment:has(th a)").first
    experiment.locator("summary").first.press("Enter")
    link = experiment.locator("th a").first
    name = link.inner_text()
    link.click()
    target = page.locator(":target")
    assert target.is_visible()
    assert all(word in target.inner_text() for word in name.split(", "))
    assert page.locator("nav").bounding_box()["y"] == 0


def test_the_keyboard_skips_the_contents(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip the contents"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_a_variant_opens_to_its_sizes_settings_and_command(page: Any) -> None:
    page.locator("#runs-filter").fill("mnist_swap")
    run = page.locator("#runs-table > tbody > tr:not([hidden])").first
    assert not run.locator("pre").is_visible()
    run.locator("summary").press("Enter")
    assert "python -m fracpool.train" in run.locator("pre").inner_text()
    assert "pool.kind=" in run.inner_text()
    assert "28 → " in run.inner_text()


def test_every_image_has_a_text(page: Any) -> None:
    texts = page.locator("svg:visible, img").evaluate_all(
        "all => all.map(one => (one.closest('[role=img]')?.getAttribute('aria-label') ?? '').length)"
    )
    assert len(texts) > 20
    assert min(texts) > 10


@pytest.mark.parametrize("width", [TELEPHONE, DESKTOP])
def test_nothing_overflows_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [TELEPHONE, DESKTOP])
def test_axe_finds_nothing(page: Any, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.locator("#runs-table summary").first.click()
    assert violations(page) == []


CONTRASTS = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const paper = light(numbers(getComputedStyle(document.body).backgroundColor));
  const contrast = (colour) => {
    const other = light(numbers(colour));
    return (Math.max(paper, other) + 0.05) / (Math.min(paper, other) + 0.05);
  };
  const of = (selector, property) => Array.from(document.querySelectorAll(selector))
    .map((one) => getComputedStyle(one)[property]).filter((colour) => colour.startsWith("rgb"));
  const on_cells = ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]; // of the map of depth × ratio, chosen for its cells
  return {
    text: of("figure svg text", "fill").filter((colour) => !on_cells.includes(colour)).map(contrast),
    lines: of("figure svg g[id^=line2d] path[style*='stroke-width: 1.5'], .runs polyline", "stroke").map(contrast),
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_stand_out_from_the_paper(page: Any, scheme: str) -> None:
    """WCAG AA: text in figures 4.5 : 1 (axe does not look into SVG), lines that carry data 3 : 1."""
    page.emulate_media(color_scheme=scheme)
    seen = page.evaluate(CONTRASTS)
    assert len(seen["text"]) > 100
    assert min(seen["text"]) >= 4.5
    assert len(seen["lines"]) > 30
    assert min(seen["lines"]) >= 3


def test_printed_pages_are_light_and_whole(page: Any) -> None:
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(254, 254, 254)"
    assert page.locator(".runs").evaluate("one => one.scrollHeight <= one.clientHeight")
    assert page.pdf(format="A4").startswith(b"%PDF")


# ---- odd folders ----


def one_run(root: Path) -> None:
    factory.write_run(root, factory.config("fmp"), 0, 0.9)


def named(name: str, root: Path) -> None:
    """Everything that can have a name has this one."""
    configs = [factory.config("max", name=name), factory.config("fmp", name=name)]
    runs = [
        factory.write_run(root, c, seed, 0.9, label=f"{name} {c['pool']['kind']}") for c in configs for seed in (0, 1)
    ]
    runs.append(factory.write_run(root, configs[0], 9, 0.9, label=name, status="failed", error={"message": name}))
    part = {"kind": "better", "title": name, "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.01}
    finding = {"id": name, "claim": name, "source": name, "comparison": name, "parts": [part]}
    factory.write_sweep(root, "mnist_swap", configs, [*runs, name], [finding], title=name, question=name, command=name)


def long_names(root: Path) -> None:
    named(LONG, root)


def chinese_names(root: Path) -> None:
    named(CHINESE, root)


def a_thousand_variants(root: Path) -> None:
    configs = [factory.config("max", epochs=1)]
    configs += [factory.config("fmp", 1 + i / 1000, epochs=1) for i in range(1, 1000)]
    runs = [factory.write_run(root, config, 0, 0.9) for config in configs[::50]]
    factory.write_sweep(root, "mnist_swap", configs, runs, [])


def nothing(root: Path) -> None:
    (root / "runs").mkdir()


@pytest.mark.parametrize("make", [nothing, one_run, long_names, chinese_names, a_thousand_variants])
def test_odd_folders_fit_a_telephone_and_satisfy_axe(browser: Any, tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    with browser.new_page(viewport={"width": TELEPHONE, "height": 800}) as page:
        page.goto(write_report(tmp_path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE
        assert violations(page) == []


@pytest.mark.parametrize("width", [DESKTOP, TELEPHONE])
def test_no_label_of_the_main_figure_is_cut_or_covers_another(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    cut, covering = page.evaluate("""() => {
      const svg = document.querySelector('.first figure svg'), frame = svg.getBoundingClientRect();
      const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
      const cut = boxes.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1
        || b.top < frame.top - 1 || b.bottom > frame.bottom + 1).map(([words]) => words);
      const beside = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1;
      const apart = (a, b) => beside(a, b) || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
      const covering = boxes.flatMap(([one, a], i) => boxes.slice(i + 1)
        .filter(([, b]) => !apart(a, b)).map(([other]) => `${one} | ${other}`));
      return [cut, covering];
    }""")
    assert cut == []
    assert covering == []
