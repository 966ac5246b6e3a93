"""The built book as a reader meets it in a browser: links, tables, widths, colours, keyboard."""

import json
import re
from pathlib import Path

import pytest
from browser import needs_browser, run, visiting

from dclib import paths
from dclib.study import verdicts

pytestmark = needs_browser

# What sticks out of a page to its right or left, outside boxes that scroll.
OVERFLOW = """
const sticksOut = (document) => {
  const width = document.documentElement.clientWidth, found = new Set();
  const clips = (e) => getComputedStyle(e).overflowX !== "visible";
  for (const e of document.querySelectorAll("main *")) {
    const box = e.getBoundingClientRect();
    if (box.width <= 0 || (box.right <= width + 1 && box.left >= -1)) continue;
    let inside = e.parentElement;
    while (inside && !clips(inside)) inside = inside.parentElement;
    if (!inside || inside === document.body || inside === document.documentElement)
      if (getComputedStyle(e).position !== "fixed") found.add(`${e.tagName}.${e.className}`);
  }
  if (document.scrollingElement.scrollWidth > width + 1) found.add("the page itself");
  return [...found].slice(0, 4);
};"""

# Texts whose colour is too near to that of their ground, by the formula of WCAG 2.
CONTRAST = """
const rgb = (colour) => {
  const c = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  c.fillStyle = colour; c.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = c.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const known = new Map();
const read = (colour) => known.get(colour) ?? known.set(colour, rgb(colour)).get(colour);
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const ground = (e) => {
  if (!e) return [255, 255, 255];
  const own = read(getComputedStyle(e).backgroundColor);
  return own[3] === 1 ? own.slice(0, 3) : over(own, ground(e.parentElement));
};
const light = (c) => {
  const [r, g, b] = c.map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (e) => {
  const behind = ground(e), front = over(read(getComputedStyle(e).color), behind);
  const [more, less] = [light(front), light(behind)].sort((a, b) => b - a);
  return (more + 0.05) / (less + 0.05);
};
const speaks = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
const faint = (document) => [...document.querySelectorAll("main :is(td, th, td *, th *)")]
  .filter((e) => speaks(e) && e.checkVisibility())
  .filter((e) => contrast(e) < 4.5)
  .map((e) => `${contrast(e).toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`).slice(0, 4);"""

# What can be pressed, but not reached by the keyboard.
UNREACHED = """
const unreached = (document) => {
  const pressed = "a[href], button, summary, input, select, textarea, [role=button], [onclick]";
  const found = [];
  for (const e of document.querySelectorAll(`main :is(${pressed})`)) {
    if (!e.checkVisibility({visibilityProperty: true}) || e.disabled) continue;
    e.focus({preventScroll: true});
    if (document.activeElement !== e || e.tabIndex < 0) found.push(e.outerHTML.slice(0, 80));
  }
  document.activeElement?.blur();
  return found.slice(0, 4);
};"""


def visit(book: Path, script: str, virtual_ms: int = 60_000):
    with visiting(book, script) as address:
        return run(address, 1400, virtual_ms)


FEW = 40  # of the pages of the API, which one template makes


def pages(book: Path) -> list[str]:
    """All pages of the book, and of the API's those with the longest words and the most text.

    Only what cannot be broken sticks out of a page.
    """
    found = [p for p in book.rglob("*.html") if p.stem != "search"]
    found = [p for p in found if p.relative_to(book).parts[0] != "_static"]
    ours = [p for p in found if "autoapi" not in p.parts]
    theirs = [p for p in found if p not in ours]
    texts = {p: re.sub(r"<[^>]*>", "", p.read_text().partition("<main")[2]) for p in theirs}
    longest = sorted(theirs, key=lambda p: max(map(len, texts[p].split()), default=0))
    fullest = sorted(theirs, key=lambda p: len(texts[p]))
    kept = {*ours, *longest[-FEW // 2 :], *fullest[-FEW // 2 :]}
    return sorted(str(p.relative_to(book)) for p in kept)


def test_no_page_fails_or_sticks_out_on_a_phone_and_all_is_reached_and_readable(built_book):
    seen = pages(built_book)
    assert len(seen) > 50
    found = visit(
        built_book,
        f"""{OVERFLOW}{CONTRAST}{UNREACHED}
        const found = {{}};
        for (const page of {json.dumps(seen)}) {{
          const opened = await open(page, 390);
          const root = opened.documentElement;
          found[page] = {{faults: [...frame.contentWindow.faults], out: sticksOut(opened)}};
          found[page].unreached = unreached(opened);
          for (const theme of ["light", "dark"]) {{
            root.dataset.theme = root.dataset.mode = theme;
            found[page][theme] = faint(opened);
          }}
        }}
        report(found);""",
        300_000,
    )
    assert list(found) == seen
    wrong = {p: {k: v for k, v in of.items() if v} for p, of in found.items() if any(of.values())}
    assert not wrong, json.dumps(wrong, indent=1)


def test_rows_of_the_front_table_lead_to_their_evidence(built_book):
    rows = visit(
        built_book,
        """
        const rows = [], known = new Map();
        const verdicts = (opened) => [...opened.querySelectorAll("main table")].find((table) =>
          [...table.querySelectorAll("th")].some((head) => /verdict/i.test(head.textContent)));
        let body = verdicts(await open("index.html", 1400)).tBodies[0];
        for (let i = 0; i < body.rows.length; i++) {
          const text = body.rows[i].textContent, href = body.rows[i].querySelector("a[href]")?.href;
          if (!href || known.has(href)) { rows.push({text, ...known.get(href)}); continue; }
          body = verdicts(await open("index.html", 1400)).tBodies[0];
          const link = body.rows[i].querySelector("a[href]");
          await loaded(() => link.click());
          await settled();
          const view = frame.contentWindow, at = decodeURIComponent(view.location.hash.slice(1));
          const target = at && view.document.getElementById(at);
          const top = target && target.getBoundingClientRect().top;
          known.set(href, {page: view.location.pathname, at,
            there: Boolean(view.document.querySelector("main h1")),
            seen: !at || (top !== null && top > -5 && top < 900)});
          rows.push({text, ...known.get(href)});
        }
        report(rows);""",
    )
    assert len(rows) >= sum(f.claim.main for f in verdicts.findings())
    for row in rows:
        assert row.get("there"), row
        assert row["seen"], row
        assert row["page"] != "/index.html", row


def test_on_a_phone_each_claim_of_the_front_page_is_a_card(built_book):
    cards = visit(
        built_book,
        """
        const rows = [...(await open("index.html", 390)).querySelectorAll(".claims tbody tr")];
        const box = (e) => e.getBoundingClientRect();
        report(rows.map((row) => ({
          text: row.textContent,
          sideways: row.closest(".pst-scrollable-table-container").scrollWidth
            - row.closest(".pst-scrollable-table-container").clientWidth,
          verdict_above: box(row.lastElementChild).top < box(row.children[1]).top,
          headings: [...row.querySelectorAll("td > p")].map((p) =>
            p.checkVisibility() ? getComputedStyle(p, "::before").content.slice(1, -3) : null),
        })));""",
    )
    for card in cards:
        assert card["sideways"] <= 0, card
        assert card["verdict_above"], card
        untested = "not tested" in card["text"]
        told = [None] * 3 if untested else ["here", "setting", "each doubling"]
        assert card["headings"][1:-1] == ["paper", *told], card
    assert len(cards) >= sum(f.claim.main for f in verdicts.findings())


@pytest.mark.skipif(
    not [*(paths.root() / "book/_static").rglob("ledger.js")],
    reason="no table of the book sorts yet",
)
def test_the_ledger_sorts_and_is_searched(built_book):
    told = visit(
        built_book,
        """
        const opened = await open("05_verdicts.html", 1400);
        const table = [...opened.querySelectorAll("main table")].find((t) =>
          t.querySelector("thead th button"));
        const heads = [...table.querySelectorAll("thead th")];
        const first = () => [...table.querySelectorAll("tbody")].flatMap((body) => [...body.rows])
          .filter((row) => row.cells.length === heads.length && row.checkVisibility())
          .map((row) => row.cells[0].textContent.trim());
        const steps = {before: first(), columns: []};
        const press = (head) => {
          const button = head.querySelector("button");
          button.focus(); button.click();
          return {sort: head.ariaSort, others: heads.filter((h) => h !== head && h.ariaSort).length,
            rows: first(), focused: opened.activeElement === button};
        };
        for (const head of heads) steps.columns.push([press(head), press(head)]);
        const search = opened.querySelector("main input[type=search]");
        search.value = "Cross-Stitch";
        search.dispatchEvent(new Event("input", {bubbles: true}));
        await settled();
        steps.searched = first();
        steps.told = opened.querySelector("main [role=status]").textContent;
        report(steps);""",
    )
    assert len(told["before"]) > 40
    for up, down in told["columns"]:
        assert (up["sort"], down["sort"]) == ("ascending", "descending")
        assert up["others"] == down["others"] == 0
        assert up["focused"]
        assert sorted(up["rows"]) == sorted(down["rows"]) == sorted(told["before"])
    up, down = told["columns"][0]
    assert up["rows"] == sorted(up["rows"]) != told["before"]
    assert down["rows"] == up["rows"][::-1]
    assert 0 < len(told["searched"]) < len(told["before"])
    assert str(len(told["searched"])) in told["told"]
