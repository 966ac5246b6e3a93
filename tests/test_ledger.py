"""The table of all claims: what it holds, what its script does, and that pages agree with it."""

import re
import shutil
from html.parser import HTMLParser

import pytest
from browser import REPORT, needs_browser, run
from by_hand import ROOT, rows
from fake_records import fake_records

from dclib.study import paper
from dclib.study.figures import ledger
from dclib.study.verdicts import finding

SCALES = {"DCNet": 0.8, "XS": 1.0, "RNx": 0.9, "XSx": 0.9, "RN": 1.0, "RN-S": 1.2}


@pytest.fixture(scope="module")
def html():
    runs = {"fig3": fake_records(SCALES, tries=2)}
    claims = [c for c in paper.CLAIMS if c.kind != "code"]
    return ledger.html([finding(c, lambda figure: runs.get(figure, [])) for c in claims])


class Links(HTMLParser):
    """Names and links of a page."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.links = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.ids += [own["id"]] if "id" in own else []
        self.links += [own["href"]] if "href" in own else []


def test_each_claim_has_a_row_with_headers_and_a_page_that_exists(html):
    found = Links(html)
    claims = [c for c in paper.CLAIMS if c.kind != "code"]
    claims.sort(key=lambda c: not c.main)  # the main ones first
    assert found.ids == ["ledger", *(f"claim-{c.key}" for c in claims)]
    pages = {path.stem for path in (ROOT / "book").glob("*.*")}
    assert {link.removesuffix(".html") for link in found.links} <= pages
    assert html.count('<th scope="row">') == len(claims) == len(found.links)
    assert html.count("data-main") == sum(c.main for c in claims)


@needs_browser
def test_its_script_does_nothing_on_other_pages(tmp_path):
    """On which it is loaded, too, and before the body of its own."""
    script = (ROOT / "book/_static/ledger/ledger.js").read_text()
    page = tmp_path / "page.html"
    page.write_text(f"<body>{REPORT}<script>{script}</script><script>report(1)</script></body>")
    assert run(page) == 1


def test_words_are_escaped(html):
    assert "failure rate, DCNet &lt; XS: " in html


@needs_browser
def test_rows_are_sorted_filtered_and_opened(html, tmp_path):
    """By keyboard, too: what is pressed are buttons."""
    for file in ("_static/ledger/ledger.js", "_static/dclib.css"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "book" / file, tmp_path / file)
    page = tmp_path / "page.html"
    page.write_text(f"""<meta charset="utf-8"><link rel="stylesheet" href="_static/dclib.css">
<body>{REPORT}{html}<script>
const rows = () => [...document.querySelectorAll("#ledger tbody")];
const shown = () => rows().filter((row) => row.checkVisibility()).map((row) => row.id);
const head = (name) => [...document.querySelectorAll("thead button")]
  .find((button) => button.textContent.startsWith(name));
const set = (field, value) => {{
  field[field.type === "checkbox" ? "checked" : "value"] = value;
  field.dispatchEvent(new Event("input", {{bubbles: true}}));
}};
const visible = (row) => row.rows[1].checkVisibility();
const tools = document.querySelector(".ledger-tools");
const [words, section, verdict, main] = tools.querySelectorAll("input, select");
const told = {{all: shown().length, closed: !rows().some(visible)}};
head("here").click();
told.up = rows().slice(0, 3).map((row) => row.cells ? "" : row.rows[0].cells[3].textContent);
told.sorted = head("here").parentElement.getAttribute("aria-sort");
head("here").click();
told.down = rows().slice(0, 3).map((row) => row.rows[0].cells[3].textContent);
told.last = rows().at(-1).rows[0].cells[3].textContent;
set(main, true);
told.main = shown().length;
set(main, false);
set(verdict, "supported");
told.supported = shown();
set(verdict, "");
set(words, "cross-stitch draws");
told.words = shown();
told.count = document.querySelector("output").textContent;
set(words, "");
const one = document.querySelector("[id='claim-4.2-resnet18-stitch'] button");
one.click();
told.open = rows().filter(visible).map((row) => row.id);
told.expanded = one.getAttribute("aria-expanded");
location.hash = "#claim-4.5-failure";
setTimeout(() => {{
  told.followed = visible(document.getElementById("claim-4.5-failure"));
  report(told);
}}, 50);
</script></body>""")
    told = run(page)
    claims = [c for c in paper.CLAIMS if c.kind != "code"]
    assert told["all"] == len(claims)
    assert told["closed"]

    def numbers(cells):
        return [
            float(cell.partition(": ")[2].split()[0].replace("−", "-"))
            for cell in cells
            if ": " in cell
        ]

    assert numbers(told["up"]) == sorted(numbers(told["up"]))
    assert numbers(told["down"]) == sorted(numbers(told["down"]), reverse=True)
    assert numbers(told["up"])[0] < numbers(told["down"])[0]
    assert told["last"] == "–"  # what has no number comes last, either way
    assert told["sorted"] == "ascending"
    assert told["main"] == sum(c.main for c in claims)
    assert "claim-4.2-resnet18-stitch" in told["supported"]
    assert "claim-4.5-failure" not in told["supported"]
    assert "claim-4.3-draws-majority" in told["words"]
    assert told["count"] == f"{len(told['words'])} of {len(claims)} claims"
    assert told["open"] == ["claim-4.2-resnet18-stitch"]
    assert told["expanded"] == "true"
    assert told["followed"]


def test_the_front_page_and_the_page_of_verdicts_agree():
    """As committed: a main claim's cells are those of its row, whoever made them."""
    own = {row["key"]: row for row in rows("verdicts_ledger")}
    front = (ROOT / "book/_generated/claims.md").read_text()
    lines = [line for line in front.splitlines() if "#claim-" in line]
    assert len(lines) == sum(row["main"] == "yes" for row in own.values())
    for line in lines:
        row = own[re.search(r'#claim-([^"]+)"', line)[1]]
        claim, *cells, told = (cell.strip() for cell in line.strip("|").split(" | "))
        assert row["claim"] in claim
        assert f"({row['page']}.ipynb)" in claim
        assert cells == [row[name] for name in ("paper", "here", "setting", "trend")]
        assert f">{row['verdict']}<" in told
        lost = row["among all main claims"] not in ("", row["verdict"])
        assert lost == ("among all" in told)
    counts = re.search(r"Of all (\d+) claims of the paper: (.*)\.\*\*", front)
    papers = [row for row in own.values() if row["section"] != "control"]
    assert int(counts[1]) == len(papers)
    for number, verdict in re.findall(
        r"(\d+) (contradicted|supported|unclear|not test\w+)", counts[2]
    ):
        assert sum(row["verdict"] == verdict for row in papers) == int(number)
