"""Parts of pages that are computed: the presets, how the claims stand, how notebooks were executed.

Pages include them from the folder `FOLDER`; `write` renews them all.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from dclib import paths
from dclib.study import paper, verdicts
from dclib.study.analysis.comparison import REFERENCE
from dclib.study.analysis.stats import Verdict
from dclib.study.figures import gain_and_cost, ledger
from dclib.study.figures import verdicts as tables
from dclib.study.figures.results import in_order
from dclib.study.figures.words import listed
from dclib.study.pages import unjudged
from dclib.study.plans.presets import PRESETS
from dclib.study.verdicts import Finding
from dclib.study.verdicts.evidence import WEIGHTINGS, best, described, of_claim

FOLDER = "_generated"
AGAINST = {  # the differences of the short answer, and what the other method is
    "4.2-resnet18-stitch": "Cross-Stitch (XS)",
    "4.2-resnet18-equal-size": "hard sharing of equal size (RNx)",
}
UNCLEAR = str(Verdict.UNCLEAR)
TOLD = 4  # claims of a page with one verdict that stand in its short answer one by one
SHORT = ("03_collaborative_block", "04_2_mtfl", "04_3_aflw", "04_4_ablation", "04_5_mtcnn")


def write(pages: Path) -> None:
    """Renew the fragments among the pages of a book."""
    folder = pages / FOLDER
    folder.mkdir(exist_ok=True)
    found = verdicts.findings()
    parts = {"presets": presets(), "answer": answer(found), "claims": claims(found)}
    parts |= {"setting": setting(found), "cite": cite()}
    parts |= {f"short_{page}": short(page, found) for page in SHORT}
    parts |= {f"short_{page}": told() for page, told in unjudged.PAGES.items()}
    for name, lines in (parts | {"rates": rates(), "status": status(folder)}).items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def presets() -> list[str]:
    """What each preset runs, from the code that runs it."""
    lines = [
        "| preset | data | training faces | ResNet18 | AlexNet | epochs | batch | tries |",
        "|---|---|---:|---|---|---:|---:|---:|",
    ]
    for preset in PRESETS.values():
        own, sides = preset.settings, preset.resolution
        networks = [
            f"{sides[name]} px, width {own['width']:g}" if name in sides else "–"
            for name in ("resnet18", "alexnet")
        ]
        counts = (own["epochs"], own["batch"], preset.tries)
        faces = own["train_faces"] or "all"
        lines.append(_row(f"`{preset.name}`", preset.dataset, faces, *networks, *counts))
    return lines


def answer(found: Sequence[Finding]) -> list[str]:
    """What a reader with three minutes asks: does it hold, where, how sure, should I use it?"""
    main = [f for f in found if f.claim.main and not f.claim.control]
    against = [f for f in main if f.claim.key in AGAINST and f.records]
    return [_held(main), *(_measured(against) if against else []), *_worth()]


def _held(main: Sequence[Finding]) -> str:
    """How often each verdict was given, and to which claims the clear ones."""
    told = [f"Of the paper's {len(main)} main claims: {tables.counted(main)}."]
    for verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED):
        own = [f for f in main if f.verdict == verdict]
        told += [f"None is {verdict}."] if not own else []
        for f in own:
            lost = ", but *unclear* once corrected for how many claims are judged"
            but = lost if f.among_all != f.verdict else ""
            told.append(f"*{verdict.capitalize()}*{but}: {tables.stated(f.claim)}.")
    return f"- **Does it hold?** {' '.join(told)}"


def _measured(against: Sequence[Finding]) -> list[str]:
    """DCNet's differences in the claims of `AGAINST`, the paper's, and what they stand on."""

    def value(told: str) -> str:
        return told.partition(": ")[2]

    here = " and ".join(f"{value(f.brief[0])} from {AGAINST[f.claim.key]}" for f in against)
    printed = " and ".join(value(tables.short(f)["paper"]) for f in against)
    moves = {
        f.pair[1]: value(f.brief[2]) for f in against if value(f.brief[2]) not in ("", UNCLEAR)
    }
    moving = "".join(
        f" Against {other} it is {told} with longer training." for other, told in moves.items()
    )
    short = " That is too short to judge a claim: every method under-fits." * against[-1].limited
    return [
        "- **Where?** With ResNet18 from scratch on MTFL, DCNet's landmark failure rate differs by"
        f" {here}; below zero DCNet is better. The paper has {printed}."
        f"{moving or ' How longer training moves this is not clear yet.'}",
        f"- **How sure?** These stand on {against[-1].brief[1]}.{short} The 95 % intervals cover"
        " test faces and tries, not other training faces.",
    ]


def setting(found: Sequence[Finding]) -> list[str]:
    """What the differences of the short answer stand on, in full."""
    against = [f for f in found if f.claim.key in AGAINST and f.records]
    return [f"ResNet18 from scratch on MTFL: {one}." for one in {f.setting: 0 for f in against}]


def cite() -> list[str]:
    """How to cite the paper and this companion, and the licence, from `CITATION.cff`."""
    own = yaml.safe_load((paths.root() / "CITATION.cff").read_text(encoding="utf-8"))
    of_paper = own["preferred-citation"]
    authors = [f"{a['given-names']} {a['family-names']}" for a in of_paper["authors"]]
    number = of_paper["journal"].removeprefix("arXiv:")
    return [
        f"> {listed(authors)}. *{of_paper['title']}*. {of_paper['year']}."
        f" [arXiv:{number}](https://arxiv.org/abs/{number})",
        "",
        f"Please cite the paper together with this companion: *{own['title']}*, version"
        f" {own['version']}. The code has the {own['license']} licence; `CITATION.cff` in the"
        " repository has all of this for a reference manager.",
    ]


def _worth() -> list[str]:
    group = gain_and_cost.setting("resnet18")
    if group is None:
        return []
    told, _, _ = gain_and_cost.answer(group, gain_and_cost.table(group)).partition(" Over ")
    return [f"- **Should I use it?** {told.replace('**', '')} {{doc}}`More <should_i_use_it>`."]


def short(page: str, found: Sequence[Finding]) -> list[str]:
    """How the paper's claims of a page stand: those that were judged with their numbers."""
    own = [f for f in found if f.page == page and not f.claim.control]
    judged = [f for f in own if f.records]
    judged.sort(key=lambda f: (not f.claim.main, verdicts.ORDER.index(f.verdict)))
    rest: dict[str, dict[str, list[str]]] = {}  # verdict -> statement -> cases
    main = {f.claim.statement for f in own if f.claim.main}
    for f in sorted(own, key=lambda f: f.claim.statement not in main):
        if f not in judged:
            rest.setdefault(f.verdict, {}).setdefault(f.claim.statement, []).append(f.claim.case)
    lines = [f"- Of the paper's {len(own)} claims here: {tables.counted(own)}."]
    lines += map(_told, judged[:TOLD])
    if more := judged[TOLD:]:
        lines.append(f"- {len(more)} more were judged: {tables.counted(more)}.")
    for verdict, statements in rest.items():
        each = [
            f"{statement} ({_listed(cases)})" if any(cases) else statement
            for statement, cases in statements.items()
        ]
        if len(each) > TOLD:
            each[TOLD:] = [f"{{doc}}`and {len(each) - TOLD} more <05_verdicts>`"]
        lines.append(f"- *{verdict.capitalize()}*: {'; '.join(each)}.")
    return lines


def _told(f: Finding) -> str:
    """A claim with its verdict and what it stands on, as an item of a list."""
    here, training, moves = f.brief
    corrected = f" ({f.among_all}, once corrected for how many claims are judged)"
    of = f" ({training})" if training else ""
    doubling = f" Each doubling of training adds {moves}." if moves else ""
    return (
        f"- *{f.verdict.capitalize()}*{corrected if f.among_all not in ('', f.verdict) else ''}:"
        f" {tables.stated(f.claim)}. {here or f.measured}{of}.{doubling}"
    )


def claims(found: Sequence[Finding]) -> list[str]:
    """The main claims, as the ledger has them; each leads to its page, each verdict to its row."""
    names = ("paper", "here", "setting", "trend")
    titles = [ledger.COLUMNS[name] for name in names]
    lines = [_row("main claim", *titles, "verdict"), "|---" * (len(names) + 2) + "|"]
    for f in (f for f in found if f.claim.main):
        own = tables.short(f)
        link = f"[{own['claim']}]({f.page}.ipynb) ({own['section']})"
        row = f'<a href="05_verdicts.html#{ledger.anchor(f)}">{ledger.verdict(f)}</a>'
        lines.append(_row(link, *(own[name] for name in names), row))
    every = [f for f in found if not f.claim.control]
    return [*lines, "", f"**Of all {len(every)} claims of the paper: {tables.counted(every)}.**"]


def _listed(cases: Sequence[str]) -> str:
    """Cases as a list, without what all of them end in.

    >>> _listed(["10 % to train on", "30 % to train on"])
    '10 and 30 % to train on'
    """
    starts, _, ends = zip(*(case.partition(" ") for case in cases), strict=True)
    return f"{listed(starts)} {ends[0]}".strip() if len(set(ends)) == 1 else listed(cases)


def rates() -> list[str]:
    """Landmark failure rates of the longest committed training beside the paper's."""
    (claim,) = (c for c in paper.CLAIMS if c.key == "4.2-resnet18-lowest")
    groups = of_claim(claim, verdicts.runs_of(REFERENCE)(claim.plan), WEIGHTINGS[0])
    group = best(groups, claim.methods)
    if group is None:
        return ["No reference run is there yet."]
    lines = [
        f"Here: {described(group)}.",
        "",
        "| method | paper | here | 95 % interval | tries |",
        "|---|---:|---:|---|---:|",
    ]
    for method in in_order(group.methods):
        here, printed = group.score(method), paper.failure_rate(method, "resnet18")
        papers = "not printed" if printed is None else f"{printed:.2f}"
        ends, tries = f"{here.low:.2f} to {here.high:.2f}", len(group.tries[method])
        lines.append(_row(method, papers, f"{here.value:.2f}", ends, tries))
    return lines


def status(folder: Path) -> list[str]:
    """When and how each notebook was executed, from the logs that the runner keeps in `folder`."""
    logs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not logs:
        return ["No notebook has been executed yet."]
    lines = ["| page | preset | executed | seconds | Python |", "|---|---|---|---:|---|"]
    for log in logs:
        page = f"[{log['notebook'].removesuffix('.ipynb')}]({log['notebook']})"
        preset = f"`{log['parameters']['preset']}`"
        lines.append(_row(page, preset, log["when"], log["seconds"], log["python"]))
    used = {f"{name} {number}" for log in logs for name, number in log["packages"].items()}
    return [*lines, "", f"Packages: {', '.join(sorted(used))}."]
