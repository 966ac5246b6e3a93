"""Weights in the files of facenet-pytorch, computed as that package does and by our stages."""

import pytest
import torch
from torch import nn

from dclib.errors import DataError
from dclib.mtcnn import public
from dclib.mtcnn.detect import Cascade
from dclib.mtcnn.stages import SIZES


class Theirs(nn.Module):
    """The package's networks: names, order of values and pooling as there."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = {"P": [(10, 3), (16, 3), (32, 3)], "R": [(28, 3), (48, 3), (64, 2)]}
        layers["O"] = [(32, 3), (64, 3), (64, 3), (128, 2)]
        self.pools = {"P": [2, 0, 0], "R": [3, 3, 0], "O": [3, 3, 2, 0]}[name]
        self.count, before = len(layers[name]), 3
        for at, (channels, kernel) in enumerate(layers[name], start=1):
            setattr(self, f"conv{at}", nn.Conv2d(before, channels, kernel))
            setattr(self, f"prelu{at}", nn.PReLU(channels))
            before = channels
        number = self.count + 1
        if name == "P":
            self.heads = [f"conv{number}_1", f"conv{number}_2"]
            for head, outputs in zip(self.heads, (2, 4), strict=True):
                setattr(self, head, nn.Conv2d(before, outputs, 1))
        else:
            width = {"R": 128, "O": 256}[name]
            setattr(self, f"dense{number}", nn.Linear(9 * before, width))
            setattr(self, f"prelu{number}", nn.PReLU(width))
            outputs = (2, 4) if name == "R" else (2, 4, 10)
            self.heads = [f"dense{number + 1}_{at + 1}" for at in range(len(outputs))]
            for head, count in zip(self.heads, outputs, strict=True):
                setattr(self, head, nn.Linear(width, count))

    def forward(self, x):
        for at, pool in enumerate(self.pools, start=1):
            x = getattr(self, f"prelu{at}")(getattr(self, f"conv{at}")(x))
            x = nn.functional.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
        if hasattr(self, f"dense{self.count + 1}"):
            x = x.permute(0, 3, 2, 1).contiguous().flatten(1)  # columns before rows
            x = getattr(self, f"dense{self.count + 1}")(x)
            x = getattr(self, f"prelu{self.count + 1}")(x)
        return [getattr(self, head)(x) for head in self.heads]


@pytest.fixture
def theirs(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {name: Theirs(name) for name in SIZES}
        for net in made.values():
            for m in net.modules():
                if isinstance(m, nn.PReLU):
                    m.weight.data.uniform_(-0.5, 0.5)
    for name, net in made.items():
        torch.save(net.state_dict(), tmp_path / public.FILES[name])
    return made


def test_our_stages_compute_what_the_package_does(theirs, tmp_path):
    for name, stage in public.stages(tmp_path).items():
        images = torch.randn(4, 3, SIZES[name], SIZES[name])
        face, box, *rest = theirs[name](images)
        found = stage(images)
        torch.testing.assert_close(found["face"], face.flatten(1))
        torch.testing.assert_close(found["box"], box.flatten(1))
        if rest:  # five x, then five y
            x, y = rest[0].chunk(2, dim=1)
            torch.testing.assert_close(found["landmarks"], torch.stack([x, y], dim=2))


def test_they_make_a_cascade(theirs, tmp_path):
    found = Cascade(public.stages(tmp_path)).detect(torch.zeros(3, 40, 50, dtype=torch.uint8))
    assert found.points.shape[1:] == (5, 2)


@pytest.mark.parametrize("fault", ["missing", "truncated", "another", "unsafe"])
def test_other_files_are_refused(theirs, tmp_path, fault):
    path = tmp_path / "rnet.pt"
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif fault == "another":
        torch.save(theirs["O"].state_dict(), path)
    else:
        torch.save(theirs["R"], path)  # a whole module, which could run code
    with pytest.raises(DataError, match=r"rnet\.pt is not facenet-pytorch's"):
        public.stages(tmp_path)
