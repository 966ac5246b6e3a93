"""Networks that answer for themselves and for their ablations at once (section 4.4).

At test time the feature map x_t of one task is replaced at the input of one block's central
aggregation H, and only there: F_t still gets the true x_t, and the skip is untouched. It is
replaced by zeros, as in the paper, and as a control by the features of another face. Zeros are
something that the network never met in training, so they may hurt though no information is missed.
The features of another face have the statistics that it knows, but speak of that face: where they
hurt, the columns follow what these features say about a face.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dclib import environment, fast
from dclib.block import CollaborativeBlock
from dclib.data.augment import centre, normalise
from dclib.data.faces import FaceSet
from dclib.errors import RunError
from dclib.methods import METHODS
from dclib.metrics import THRESHOLD
from dclib.network import Network
from dclib.records.outcomes import Outcomes
from dclib.records.runs import Record
from dclib.study.analysis.ablation import BATCH, CONTENTS, SEED, Ablation, agree, beside, find, keep
from dclib.study.analysis.stats import DECODERS
from dclib.tasks import Landmarks, label_logits, label_tasks
from dclib.training.batches import face_sets
from dclib.training.judging import judge
from dclib.use import inference

Content = Callable[[Tensor], Tensor]  # features of some faces (B, C, h, w) to what replaces them
CONTENT: dict[str, Content] = {
    "zeros": torch.zeros_like,
    "other face": lambda features: features.roll(1, dims=0),  # those of the one before
}


def collaborates(record: Record) -> bool:
    """Whether the method of a run has collaborative blocks."""
    return METHODS[record.experiment.method].mixer is CollaborativeBlock


@contextmanager
def ablating(net: Network, faces: int) -> Iterator[None]:
    """Within it a network answers a batch of faces for itself and for each of its ablations.

    Every block gets, behind what comes to it, the intact features once more for each ablation of
    its own, so that nothing before it is computed again. The logits of B faces are those of
    (1 + D C T) B: intact, then by block, content and task.

    Args:
        net: in evaluation mode, in any forms but stacked ones; it is left as it was.
        faces: B, the size of the batch that it is given.
    """
    blocks = [cast(CollaborativeBlock, mixer) for mixer in net.mixers]
    hooks = [block.register_forward_pre_hook(partial(_repeat, faces)) for block in blocks]
    hooks += [b.central.register_forward_pre_hook(partial(_replace, faces, b)) for b in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _repeat(faces: int, block: nn.Module, given: tuple[Sequence[Tensor]]) -> Any:
    """A block's maps (B, ...) of each column, with the first `faces` again for each ablation."""
    (maps,) = given
    cells = len(CONTENTS) * len(maps)
    return ([torch.cat([x, x[:faces].repeat(cells, 1, 1, 1)]) for x in maps],)


def _replace(
    faces: int, block: CollaborativeBlock, central: nn.Module, given: tuple[Tensor]
) -> None:
    """Each ablation loses its task's channels of H's input (B, sum C_t, h, w), in place.

    That tensor belongs to H alone, the block has just put it together.
    """
    (together,) = given
    parts = list(together.split(list(block.channels), dim=1))  # views, one for each task
    at = len(together) - len(CONTENTS) * len(parts) * faces
    for content in CONTENTS:
        for features in parts:
            features[at : at + faces] = CONTENT[content](features[:faces])
            at += faces


def evaluate(record: Record) -> Ablation:
    """Ablate the network of a run, with its last weights, on the faces that it was scored on.

    `require` also keeps what this finds.

    Raises:
        RunError: a method without collaborative blocks, a run without landmarks, weights that are
            missing or not those of the record.
        DataError: the data set is missing.
    """
    if not collaborates(record) or not record.outcomes.errors:
        raise RunError(
            f"run {record.id} is {record.experiment.label}: only networks with collaborative blocks"
            " and a landmark task are ablated"
        )
    start = time.perf_counter()
    weights = inference.weights(record)
    net = inference.network(record).to(memory_format=torch.channels_last)
    _, _, scored = face_sets(record.experiment)
    sizes = added(net, scored)
    fast.apply(net, "fast")
    outcomes = judge(predictions(net, scored), scored, net.tasks)
    made = replace(_summary(record.id, net, scored, outcomes), added=sizes)
    agree(made, beside(record, weights.parent))
    about = {"device": "cpu", "threads": torch.get_num_threads(), **environment.machine()}
    seconds = round(time.perf_counter() - start, 1)
    made.environment.update(environment.code() | about | {"seconds": seconds})
    return made


def batches(faces: int) -> list[NDArray[np.int64]]:
    """The numbers of all faces in batches, in an order drawn once for each number of faces.

    The other face is the one before in the batch: always the same one, and never the face itself.
    """
    order = np.random.default_rng(SEED).permutation(faces)
    return np.array_split(order, -(-faces // BATCH))


@torch.no_grad()
def predictions(net: Network, scored: FaceSet) -> list[dict[str, np.ndarray]]:
    """Points by decoder and labels by task of all faces: intact, then with each ablation."""
    found, parts = [], batches(len(scored))
    for batch in parts:
        seen = _seen(scored, batch)
        with ablating(net, len(batch)):
            logits = net(seen)
        part = {name: own.argmax(dim=1) for name, own in label_logits(net.tasks, logits).items()}
        for task in net.tasks:
            if isinstance(task, Landmarks):
                part |= {d: task.decode(logits[task.name], d) for d in DECODERS}
        found.append({name: v.unflatten(0, (-1, len(batch))).numpy() for name, v in part.items()})
    back = np.argsort(np.concatenate(parts))
    every = {name: np.concatenate([f[name] for f in found], axis=1)[:, back] for name in found[0]}
    return [dict(zip(every, of, strict=True)) for of in zip(*every.values(), strict=True)]


@torch.no_grad()
def added(net: Network, scored: FaceSet) -> NDArray[np.float64]:
    """The size of what F_t adds beside that of x_t in Eq. 1, at each task and block (T, D).

    The ratio of their norms over all channels and places, mean over faces.

    Args:
        net: in evaluation mode, in plain forms.
    """
    found: list[Tensor] = []  # (B,), block by block, and task by task within

    def note(aggregate: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        features = given[0][:, : made.shape[1]]  # x_t, before z
        norms = [maps.flatten(1).norm(dim=1) for maps in (made, features)]
        found.append(norms[0] / norms[1].clamp_min(torch.finfo(made.dtype).tiny))

    blocks = [cast(CollaborativeBlock, mixer) for mixer in net.mixers]
    hooks = [own.register_forward_hook(note) for block in blocks for own in block.specific]
    total = np.zeros(len(hooks))
    for batch in batches(len(scored)):
        net(_seen(scored, batch))
        total += torch.stack(found).double().sum(dim=1).numpy()
        found.clear()
    for hook in hooks:
        hook.remove()
    return (total / len(scored)).reshape(len(blocks), -1).T


def _seen(scored: FaceSet, batch: NDArray[np.int64]) -> Tensor:
    """Some faces as a network sees them (B, 3, R, R)."""
    images = torch.from_numpy(np.array(scored.images[batch]))
    cut, _ = centre(images, torch.zeros(len(batch), 1, 2), scored.resolution)
    return normalise(cut).contiguous(memory_format=torch.channels_last)


def _summary(run: str, net: Network, scored: FaceSet, outcomes: Outcomes) -> Ablation:
    """Outcomes whose epochs are the intact network and its ablations, in that order."""
    tasks, blocks = len(net.tasks), len(net.mixers)

    def each(values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all ablations (1 + D C T, ...) by content (T, D, ...)."""
        cells = values[1:].reshape(blocks, len(CONTENTS), tasks, *values.shape[1:])
        return {name: cells[:, c].swapaxes(0, 1) for c, name in enumerate(CONTENTS)}

    def by_content(rows: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
        return {c: {name: each(of)[c] for name, of in rows.items()} for c in CONTENTS}

    failures = {d: errors > THRESHOLD for d, errors in outcomes.errors.items()}
    means = {d: errors.mean(axis=1) for d, errors in outcomes.errors.items()}
    turned, known = {}, {}
    for task in label_tasks(net.tasks):
        truth = task.encode(torch.from_numpy(np.array(scored.labels[task.name]))).numpy()
        right = (outcomes.classes[task.name] == truth)[:, truth >= 0]
        lost, won = (right[:1] & ~right).sum(axis=1), (~right[:1] & right).sum(axis=1)
        turned[task.name] = np.stack([lost, won], axis=1)
        known[task.name] = right.shape[1]
    return Ablation(
        run=run,
        tasks=tuple(task.name for task in net.tasks),
        blocks=blocks,
        intact={d: failed[0] for d, failed in failures.items()},
        failed=by_content(failures),
        errors=by_content(means),
        accuracy=by_content(outcomes.accuracy),
        turned=by_content(turned),
        intact_errors={d: float(mean[0]) for d, mean in means.items()},
        intact_accuracy={label: float(share[0]) for label, share in outcomes.accuracy.items()},
        known=known,
    )


def require(records: Sequence[Record]) -> list[Ablation]:
    """The evaluations of all records, in order; what is missing is evaluated and kept.

    Raises:
        RunError, DataError: as `find` and `evaluate`.
    """
    return [(find([record]) or [keep(evaluate(record))])[0] for record in records]
