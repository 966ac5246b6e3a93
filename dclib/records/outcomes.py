"""What a run made of each face: computed from raw predictions, kept in few bytes."""

import io
import lzma
from dataclasses import dataclass

import numpy as np

ERROR_UNITS = 2000  # errors are kept in steps of 1/2000 of the inter-ocular distance
OFFSET_UNITS = 16  # sub-pixel offsets in steps of 1/16 pixel


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays by name, compressed."""
    raw = io.BytesIO()
    np.savez(raw, **arrays)  # type: ignore[arg-type]
    return lzma.compress(raw.getvalue(), preset=9)


def unpack(packed: bytes) -> dict[str, np.ndarray]:
    """The way back; raises one of `dclib.errors.DAMAGE` where there is none."""
    with np.load(io.BytesIO(lzma.decompress(packed)), allow_pickle=False) as stored:
        return dict(stored)


@dataclass(frozen=True)
class Outcomes:
    """What a run made of each test face in its last epochs; E is five, or fewer in shorter runs.

    A run without a landmark task has no errors and zero points (L = 0).

    Nothing here holds the truth of a data set: points, labels and pixels stay where the data are.
    That is why accuracies are kept as shares: a predicted label and whether it was right would
    give the true one away.

    Attributes:
        errors: decoder -> landmark errors (E, N) as shares of the face's size, which is its
            inter-ocular distance where that is known.
        classes: task -> predicted labels, or bins of an angle (E, N).
        accuracy: task -> share of right ones (E,) among the faces whose label is known.
        bins: predicted landmark bins (E, N, L, 2).
        offsets: soft-argmax minus bin centre in the last epoch, pixels (N, L, 2).
    """

    errors: dict[str, np.ndarray]
    classes: dict[str, np.ndarray]
    accuracy: dict[str, np.ndarray]
    bins: np.ndarray
    offsets: np.ndarray

    def points(self, decoder: str = "bin") -> np.ndarray:
        """Predicted landmarks (N, L, 2) of the last epoch, in pixels of the network's input."""
        centres = self.bins[-1].astype(np.float64) + 0.5
        return centres if decoder == "bin" else centres + self.offsets

    def to_bytes(self) -> bytes:
        """Compressed: integers, later epochs as differences to the last one."""
        arrays: dict[str, np.ndarray] = {
            "bins": _differences(self.bins.astype(np.int16)),
            "offsets": np.round(self.offsets * OFFSET_UNITS).astype(np.int8),
        }
        for decoder, errors in self.errors.items():
            arrays[f"errors.{decoder}"] = _error_steps(errors)
        for task, labels in self.classes.items():
            small = labels.max(initial=0) <= np.iinfo(np.uint8).max
            arrays[f"classes.{task}"] = labels.astype(np.uint8 if small else np.uint16)
            arrays[f"accuracy.{task}"] = self.accuracy[task].astype(np.float64)
        return pack(arrays)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Outcomes":
        arrays = unpack(packed)

        def of(kind: str) -> dict[str, np.ndarray]:
            start = f"{kind}."
            return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}

        found = cls(
            errors={k: _from_steps(v) for k, v in of("errors").items()},
            classes={k: v.astype(np.int64) for k, v in of("classes").items()},
            accuracy={k: v.astype(np.float64) for k, v in of("accuracy").items()},
            bins=_undo_differences(arrays["bins"]).astype(np.uint16),
            offsets=arrays["offsets"].astype(np.float64) / OFFSET_UNITS,
        )
        if not found.fits():
            raise ValueError("its parts do not fit each other")
        return found

    def fits(self) -> bool:
        """Whether nothing is missing, and all parts speak of the same epochs and faces."""
        epochs, faces, points, _ = self.bins.shape
        each = [*self.errors.values(), *self.classes.values()]
        return (
            epochs > 0
            and self.errors.keys() == ({"bin", "soft"} if points else set())
            and self.accuracy.keys() == self.classes.keys()
            and all(of_faces.shape == (epochs, faces) for of_faces in each)
            and all(shares.shape == (epochs,) for shares in self.accuracy.values())
            and self.offsets.shape == self.bins.shape[1:]
        )


def _differences(epochs: np.ndarray) -> np.ndarray:
    return np.concatenate([epochs[-1:], epochs[:-1] - epochs[-1:]])


def _undo_differences(stored: np.ndarray) -> np.ndarray:
    return np.concatenate([stored[1:] + stored[:1], stored[:1]])


def _error_steps(errors: np.ndarray) -> np.ndarray:
    """Rounded up, so that an error above 0.10 stays above it and one of 0.10 does not."""
    steps = np.ceil(errors * ERROR_UNITS - 1e-9)
    return np.minimum(steps, np.iinfo(np.uint16).max).astype(np.uint16)


def _from_steps(steps: np.ndarray) -> np.ndarray:
    """The middle of each step."""
    return np.maximum(steps.astype(np.float64) - 0.5, 0) / ERROR_UNITS
