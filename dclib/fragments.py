"""Parts of pages that are computed: the presets, how the claims stand, how notebooks were executed.

Pages include them from the folder `FOLDER`; `write` renews them all.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dclib import paper
from dclib.comparison import Comparison, reference
from dclib.figures.results import in_order
from dclib.presets import PRESETS
from dclib.stats import Verdict

FOLDER = "_generated"
NETWORKS = {"resnet18": "ResNet18", "alexnet": "AlexNet"}
FIGURE3 = {"resnet18": "fig3", "alexnet": "fig3-alexnet"}


def write(pages: Path) -> None:
    """Renew the fragments among the pages of a book."""
    folder = pages / FOLDER
    folder.mkdir(exist_ok=True)
    for name, lines in {
        "presets": presets(),
        "claims": claims(),
        "rates": rates(),
        "status": status(folder),
    }.items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def presets() -> list[str]:
    """What each preset runs, from the code that runs it."""
    lines = [
        _row("preset", "data", "training faces", *NETWORKS.values(), "epochs", "batch", "tries"),
        "|---|---|---:|---|---|---:|---:|---:|",
    ]
    for preset in PRESETS.values():
        settings = preset.settings
        sides = [f"{preset.resolution[u]} px, width {settings['width']:g}" for u in NETWORKS]
        faces = settings["train_faces"] or "all"
        count = (faces, *sides, settings["epochs"], settings["batch"], preset.tries)
        lines.append(_row(f"`{preset.name}`", preset.dataset, *count))
    return lines


def claims() -> list[str]:
    """Every claim with its verdict for each underlying network, and how often each was given."""
    groups = {u: Comparison(reference(figure)) for u, figure in FIGURE3.items()}
    verdicts = {claim: groups[claim.underlying].judge(claim) for claim in paper.CLAIMS}
    of_paper = Counter(verdict for claim, verdict in verdicts.items() if not claim.control)
    tally = ", ".join(f"{of_paper[v]} {v}" for v in Verdict if of_paper[v])
    lines = [
        f"**Of the {of_paper.total()} claims of the paper listed so far: {tally}.**",
        "",
        _row("claim", "where", *NETWORKS.values()),
        "|---|---|---|---|",
    ]
    for statement in dict.fromkeys(claim.statement for claim in paper.CLAIMS):
        same = {c.underlying: c for c in paper.CLAIMS if c.statement == statement}
        one = next(iter(same.values()))
        where = "control" if one.control else f"§{one.section}"
        given = [f"*{verdicts[same[u]]}*" if u in same else "–" for u in NETWORKS]
        lines.append(_row(statement, where, *given))
    return lines


def rates() -> list[str]:
    """Landmark failure rates of the committed runs beside the paper's."""
    group = Comparison(reference("fig3"))
    if not group.methods:
        return ["No reference run is there yet."]
    lines = [_row("method", "paper", "here", "95 % interval", "tries"), "|---|---:|---:|---|---:|"]
    for method in in_order(group.methods):
        here, printed = group.score(method), paper.failure_rate(method, "resnet18")
        lines.append(
            _row(
                method,
                "not printed" if printed is None else f"{printed:.2f}",
                f"{here.value:.2f}",
                f"{here.low:.2f} to {here.high:.2f}",
                len(group.tries[method]),
            )
        )
    return lines


def status(folder: Path) -> list[str]:
    """When and how each notebook was executed, from the logs that the runner keeps in `folder`."""
    logs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not logs:
        return ["No notebook has been executed yet."]
    lines = [_row("page", "preset", "executed", "seconds", "Python"), "|---|---|---|---:|---|"]
    for log in logs:
        page = f"[{log['notebook'].removesuffix('.ipynb')}]({log['notebook']})"
        preset = f"`{log['parameters']['preset']}`"
        lines.append(_row(page, preset, log["when"], log["seconds"], log["python"]))
    lines += ["", *_packages(logs)]
    return lines


def _packages(logs: Sequence[dict[str, dict[str, str]]]) -> list[str]:
    used = {f"{name} {version}" for log in logs for name, version in log["packages"].items()}
    return [f"Packages: {', '.join(sorted(used))}."]
