"""The ledger of all claims as one table of a page: a row a claim, which opens to all there is.

`book/_static/ledger/ledger.js` lets readers sort, filter and open it. Without that script the table
is whole, and every row is open.
"""

from collections.abc import Sequence
from html import escape

from dclib.study.figures import verdicts as tables
from dclib.study.verdicts import Finding

COLUMNS = {  # of `dclib.study.figures.verdicts.short`, and what stands above each
    "claim": "claim",
    "section": "section",
    "paper": "paper",
    "here": "here (95 % interval)",
    "setting": "setting",
    "trend": "each doubling",
    "verdict": "verdict",
}


def verdict(f: Finding) -> str:
    """A verdict as HTML, with what remains of it when all main claims are judged together."""
    coloured = f'<span class="verdict {f.verdict.replace(" ", "-")}">{f.verdict}</span>'
    differs = f.among_all not in ("", f.verdict)
    return f"{coloured} <small>({f.among_all} among all)</small>" if differs else coloured


def anchor(f: Finding) -> str:
    """The name of a claim's row, for links."""
    return f"claim-{f.claim.key}"


def html(found: Sequence[Finding]) -> str:
    """The table, main claims first, and what makes it sortable."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in [*COLUMNS.values(), "evidence"])
    rows = "\n".join(map(_claim, sorted(found, key=lambda f: not f.claim.main)))
    return f"""\
<div class="ledger" id="ledger" role="region" aria-label="All claims" tabindex="0">
<table class="dclib">
<thead><tr>{heads}</tr></thead>
{rows}
</table></div>
<script src="_static/ledger/ledger.js"></script>"""


def _claim(f: Finding) -> str:
    shown = {name: escape(value) for name, value in tables.short(f).items()}
    shown["verdict"] = verdict(f)
    first, *others = COLUMNS
    cells = [f'<th scope="row">{shown[first]}</th>']
    for name in others:
        empty = ' class="none"' if shown[name] == "–" else ""  # which a card leaves out
        cells.append(f'<td data-name="{COLUMNS[name]}"{empty}>{shown[name]}</td>')
    page = f'<a href="{f.page}.html" aria-label="evidence on {f.page}">{_number(f.page)}</a>'
    cells.append(f'<td data-name="evidence">{page}</td>')
    return f"""\
<tbody id="{anchor(f)}"{' data-main=""' if f.claim.main else ""}>
<tr>{"".join(cells)}</tr>
<tr class="more"><td colspan="{len(cells)}">{_details(f)}</td></tr>
</tbody>"""


def _number(page: str) -> str:
    """The number of a page: 4.2 of 04_2_mtfl.

    >>> _number("04_2_mtfl"), _number("03_collaborative_block")
    ('page 4.2', 'page 3')
    """
    digits = [str(int(part)) for part in page.split("_") if part.isdigit()]
    return f"page {'.'.join(digits)}"


def _details(f: Finding) -> str:
    """The rule, all differences, the whole setting and trend, the runs."""
    told = {
        "Stands in": "" if f.claim.control else tables.whose(f.claim),
        "Rule": f.rule,
        "Measured": f.measured,
        "Setting": f.setting,
        "Trend": f.trend,
        "Runs": f"{len(f.records)}, by {f.command}" if f.records else "",
    }
    terms = (f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in told.items() if text)
    return f"<dl>{''.join(terms)}</dl>"
