"""What the paper says of its networks, checked by the code itself: no run is needed.

A check gives whether the statement holds, and in words what was looked at; the claim whose `detail`
is its name is judged by it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from dclib.block import CollaborativeBlock
from dclib.factory import build, matched_width
from dclib.methods import METHODS
from dclib.mtcnn import stages
from dclib.network import Network, count_parameters
from dclib.study.paper import Claim, number
from dclib.study.verdicts.judgement import Judged
from dclib.tasks import mtfl_tasks

HOLDS, FAILS = "holds", "does not hold"
TASKS = mtfl_tasks(112)
PAIRS = (("RNx", "resnet18"), ("XSx", "resnet18"), ("ANx", "alexnet"), ("XSx", "alexnet"))
ANY = ("squeezenet1_1", "vgg11")  # beside the paper's two; the tests go through all of torchvision

Check = Callable[[], tuple[bool, str]]


def judge(claim: Claim) -> Judged:
    """A claim that needs no run."""
    (name,) = claim.detail
    holds, words = CHECKS[name]()
    return Judged(given=HOLDS if holds else FAILS, words=[words])


@cache
def on_meta(method: str, underlying: str) -> Network:
    """A network of full width, whose weights are counted and not made."""
    with torch.device("meta"):
        return build(method, tasks=TASKS, underlying=underlying)


def _maps(seed: int) -> list[torch.Tensor]:
    """Feature maps of two tasks, none of them negative, as behind a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 4, 3, 3, generator=generator, dtype=torch.double) for _ in range(2)]


def _mixer(make: Callable[..., Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make((4, 4)).double().eval()


def linear() -> tuple[bool, str]:
    """Whether f(a + b) is f(a) + f(b), for Cross-Stitch and for the collaborative block."""
    a, b = _maps(0), _maps(1)

    def additive(mixer: Any) -> bool:
        both = mixer([x + y for x, y in zip(a, b, strict=True)])
        apart = [x + y for x, y in zip(mixer(a), mixer(b), strict=True)]
        return all(torch.allclose(x, y) for x, y in zip(both, apart, strict=True))

    stitch, block = additive(_mixer(METHODS["XS"].mixer)), additive(_mixer(CollaborativeBlock))
    words = "f(a + b) = f(a) + f(b) for a unit of Cross-Stitch, and not for the block"
    return stitch and not block, words


def untuned() -> tuple[bool, str]:
    """Whether the method has settings of its own, beside those of the optimiser."""
    ours = METHODS["DCNet"]
    own = ours.unit_rate != 1 or bool(ours.penalty) or ours.stopped is not None
    others = METHODS["XS"].unit_rate != 1 and METHODS["TCDCN"].stopped is not None
    return not own and others, (
        "no rate, penalty or stopping rule of its own; Cross-Stitch has a rate of its units,"
        " TCDCN a window and a threshold"
    )


def differentiable() -> tuple[bool, str]:
    """Whether gradients are those of finite differences, in double precision."""
    block = _mixer(CollaborativeBlock)
    maps = [x.requires_grad_() for x in _maps(0)]
    right = torch.autograd.gradcheck(lambda *x: tuple(block(x)), maps, raise_exception=False)
    return bool(right), "its gradients are those of finite differences"


def any_network() -> tuple[bool, str]:
    """Whether networks that it was not made for can be joined by it, after each of their blocks."""
    depths = {name: len(on_meta("DCNet", name).mixers) for name in ("resnet18", "alexnet", *ANY)}
    words = ", ".join(f"{name} ({count} blocks)" for name, count in depths.items())
    return min(depths.values()) > 0, f"built and run: {words}; tests do so for all of torchvision"


def different_networks() -> tuple[bool, str]:
    """Whether columns of two kinds can be joined."""
    net = on_meta("DCNet", "resnet18+squeezenet1_1")
    kinds = {sum(p.numel() for p in column.parameters()) for column in net.columns}
    return len(kinds) == 2, "built and run: ResNet18 for the landmarks, SqueezeNet for the others"


def shapes() -> tuple[bool, str]:
    """Whether H and each F_t put out as many maps as section 3 says, in the built networks."""
    blocks: list[Any] = [m for on in ("resnet18", "alexnet") for m in on_meta("DCNet", on).mixers]
    factor = number("protocol", condition="central aggregation divides feature maps by")
    right = all(
        block.central[0].out_channels == sum(block.channels) // factor
        and [f[0].out_channels for f in block.specific] == list(block.channels)
        for block in blocks
    )
    return right, f"in all {len(blocks)} blocks around ResNet18 and AlexNet"


def identity() -> tuple[bool, str]:
    """Whether maps go through a block unchanged when all weights of its F are zero."""
    block, maps = _mixer(CollaborativeBlock), _maps(0)
    with torch.no_grad():
        for weight in block.specific.parameters():
            weight.zero_()
        same = all(torch.equal(x, y) for x, y in zip(block(maps), maps, strict=True))
        negative = block([-x for x in maps])
    return same and not any(x.any() for x in negative), (
        "of maps that are not negative, as behind a ReLU; the ReLU of Eq. 1 cuts others to zero"
    )


def equal_size() -> tuple[bool, str]:
    """Whether widened methods have as many parameters as DCNet, at the paper's width."""
    return _alike({f"{m} on {on}": matched_width(m, TASKS, on, 1.0)[1] for m, on in PAIRS})


def _alike(off: Mapping[str, float]) -> tuple[bool, str]:
    told = ", ".join(f"{100 * abs(gap):.2f} % ({name})" for name, gap in off.items())
    return all(abs(gap) < 0.02 for gap in off.values()), f"off by {told}"


def parameters() -> tuple[bool, str]:
    """Whether DCNet around ResNet18 has as many parameters as printed, to the nearest million."""
    count = count_parameters(on_meta("DCNet", "resnet18"))
    words = f"{count:,} around ResNet18 at an input of 112 px, which the authors' example has"
    return _to_the_million(count, "DCNet"), words


def _to_the_million(count: int, method: str) -> bool:
    return round(count / 1e6) == round(number("params", method=method) / 1e6)


def cascade_parameters() -> tuple[bool, str]:
    """Whether the three stages have as many parameters as printed, to the nearest million."""
    each = stages.parameters("DC-MTCNN")
    count, words = (
        sum(each.values()),
        ", ".join(f"{own:,} in {stage}" for stage, own in each.items()),
    )
    words = f"{count:,} with collaborative blocks: {words}"
    return _to_the_million(count, "MTCNN three stages"), words


def cascade_equal_size() -> tuple[bool, str]:
    """Whether each stage of the widened MTCNN has as many parameters as with the blocks."""
    wide, ours = (stages.parameters(method) for method in ("MTCNNx", "DC-MTCNN"))
    return _alike({stage: wide[stage] / ours[stage] - 1 for stage in ours})


CHECKS: dict[str, Check] = {
    check.__name__.replace("_", "-"): check
    for check in (
        *(linear, untuned, differentiable, any_network, different_networks, shapes, identity),
        *(equal_size, parameters, cascade_parameters, cascade_equal_size),
    )
}
