"""Parts of pages that are computed: the presets, how the claims stand, how notebooks were executed.

Pages include them from the folder `FOLDER`; `write` renews them all.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from dclib.study import paper, verdicts
from dclib.study.analysis.comparison import REFERENCE
from dclib.study.analysis.stats import Verdict
from dclib.study.figures import verdicts as tables
from dclib.study.figures.results import in_order
from dclib.study.figures.words import listed
from dclib.study.pages import beyond
from dclib.study.plans.presets import PRESETS
from dclib.study.verdicts import Finding
from dclib.study.verdicts.evidence import WEIGHTINGS, best, described, of_claim

FOLDER = "_generated"
UNITS = {"failure rate": "points", "mean error": "% of the distance between the eyes"}
TOLD = 4  # claims of a page with one verdict that stand in its short answer one by one
SHORT = ("03_collaborative_block", "04_2_mtfl", "04_3_aflw", "04_4_ablation", "04_5_mtcnn")


def write(pages: Path) -> None:
    """Renew the fragments among the pages of a book."""
    folder = pages / FOLDER
    folder.mkdir(exist_ok=True)
    found = verdicts.findings()
    parts = {"presets": presets(), "answer": answer(found), "claims": claims(found)}
    parts |= {f"short_{page}": short(page, found) for page in SHORT}
    parts |= {f"short_{page}": told() for page, told in beyond.PAGES.items()}
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
    """What came out so far, in a few sentences."""
    main = [f for f in found if f.claim.main and not f.claim.control]
    clear = [f for f in main if f.verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED)]
    equal = next(f for f in main if f.claim.key == "4.2-resnet18-equal-size")
    lines = [f"- Of the paper's {len(main)} main claims: {tables.counted(main)}."]
    lines += map(_told, clear)
    return [*lines, _told(equal)] if equal.records and equal not in clear else lines


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
    gap, training, moves = f.brief
    corrected = f" ({f.among_all}, once corrected for how many claims are judged)"
    after = f" {UNITS[f.claim.metric]}, after {training}" if gap and training else ""
    doubling = f" Each doubling of training adds {moves}." if moves else ""
    return (
        f"- *{f.verdict.capitalize()}*{corrected if f.among_all not in ('', f.verdict) else ''}:"
        f" {tables.stated(f.claim)}. {gap or f.measured}{after}.{doubling}"
    )


def claims(found: Sequence[Finding]) -> list[str]:
    """The main claims in short, then, folded, every claim with its verdicts."""
    lines = [
        "| main claim | here, in points | training | each doubling adds | verdict |",
        "|---|---|---|---|---|",
    ]
    for f in (f for f in found if f.claim.main):
        link = f"[{tables.stated(f.claim)}]({f.page}.ipynb) ({tables.where(f.claim)})"
        here = f.brief[0] or (f.measured if f.records else "–")
        verdict = f'<span class="verdict {f.verdict.replace(" ", "-")}">{f.verdict}</span>'
        lines.append(_row(link, here, f.brief[1] or "–", f.brief[2] or "–", verdict))
    own = [f for f in found if not f.claim.control]
    lines += [
        "",
        f"**Of the paper's {len(own)} claims: {tables.counted(own)}.**",
        "",
        "````{dropdown} Every claim",
        "| claim | where | verdict |",
        "|---|---|---|",
    ]
    same: dict[tuple[str, str], list[Finding]] = {}
    for f in found:
        same.setdefault((f.claim.statement, tables.where(f.claim)), []).append(f)
    lines += [_row(*claim, _verdicts(cases)) for claim, cases in same.items()]
    return [*lines, "````"]


def _verdicts(same: Sequence[Finding]) -> str:
    """The verdicts on one statement, with the cases that got each of them."""
    cases: dict[str, list[str]] = {}
    for f in same:
        cases.setdefault(f"*{f.verdict}*", []).append(f.claim.case)
    return "; ".join(
        f"{verdict}: {_listed(names)}" if any(names) else verdict
        for verdict, names in cases.items()
    )


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
