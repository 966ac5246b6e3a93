"""Views of landmark faces: whatever is drawn, colours tell where in the photo a point lies."""

import numpy as np
import pytest
import torch
from coloured_photos import photo_set, places
from torch import Tensor

from dclib.mtcnn import samples, views
from dclib.mtcnn.boxes import cut
from dclib.mtcnn.samples import Recipe
from dclib.mtcnn.stages import normalise

FACE = [80.0, 60.0, 140.0, 120.0]
POINTS = np.array([[95, 80], [125, 82], [110, 95], [97, 108], [123, 110]], dtype=np.float32)
PHOTOS = photo_set([[FACE]], points=[POINTS[None]])
KEPT = samples.draw_landmarks(PHOTOS, 48, Recipe())
INDEX = torch.zeros(200, dtype=torch.int64)


def pixels(batch: views.Batch) -> Tensor:
    return batch.images * 128 + 127.5


def draws_of(count: int = 200, **columns: float) -> Tensor:
    """Uniforms, some columns of which are set."""
    draws = torch.rand(count, views.DRAWS, generator=torch.Generator().manual_seed(1))
    for name, value in columns.items():
        draws[:, {"mirror": 0, "turn": 1}[name]] = value
    return draws


@pytest.mark.parametrize("mirror", [0.0, 0.9])
@pytest.mark.parametrize("turn", [0.0, 0.5, 0.8])
def test_points_stay_on_what_they_mark(mirror, turn):
    batch = views.look(KEPT, INDEX, 48, draws_of(mirror=mirror, turn=turn))
    within = ((batch.points > 0.01) & (batch.points < 0.99)).all(dim=2)
    assert within.float().mean() > 0.9
    order = list(views.SWAPPED) if mirror < 0.5 else [0, 1, 2, 3, 4]
    off = (places(pixels(batch), batch.points) - torch.from_numpy(POINTS[order])).norm(dim=2)
    assert off[within].max() < 1.5  # pixels of the photo, whose colours are rounded
    assert off[within].mean() < 0.5


def test_left_stays_left_in_a_mirror():
    batch = views.look(KEPT, INDEX, 48, draws_of(mirror=0.0, turn=0.5))
    assert (batch.points[:, 0, 0] < batch.points[:, 1, 0]).all()
    assert (batch.points[:, 3, 0] < batch.points[:, 4, 0]).all()


@pytest.mark.parametrize("mirror", [0.0, 0.9])
def test_offsets_lead_to_the_box_that_is_seen(mirror):
    batch = views.look(KEPT, INDEX, 48, draws_of(mirror=mirror, turn=0.5))
    box = batch.offsets + torch.tensor([0, 0, 1.0, 1])
    middle = (box[:, :2] + box[:, 2:]) / 2
    seen = places(pixels(batch), middle[:, None])[:, 0]
    assert (seen - torch.tensor([110.0, 90])).abs().max() < 1
    assert (box[:, 2:] > box[:, :2]).all()


def test_views_overlap_the_box_and_are_all_different():
    batch = views.look(KEPT, INDEX, 48, draws_of())
    box = batch.offsets + torch.tensor([0, 0, 1.0, 1])
    shared = (box[:, 2:].clamp(max=1) - box[:, :2].clamp(min=0)).prod(dim=1)
    overlap = shared / (1 + (box[:, 2:] - box[:, :2]).prod(dim=1) - shared)
    assert overlap.min() > 0.65
    assert overlap.min() < 0.75  # not only easy ones
    sides = 1 / (box[:, 2] - box[:, 0])
    assert sides.min() < 0.9
    assert sides.max() > 1.1
    assert len(batch.points.unique(dim=0)) == len(INDEX)


def test_undrawn_views_are_the_crop_of_the_box():
    batch = views.look(KEPT, INDEX[:1], 48)
    direct = cut(torch.from_numpy(PHOTOS.read(0)), torch.tensor([FACE]), 48)
    assert (pixels(batch) - direct).abs().max() < 1
    torch.testing.assert_close(batch.offsets, torch.zeros(1, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(batch.points[0], torch.from_numpy((POINTS - [80, 60]) / 60).float())


def test_plain_crops_are_mirrored_and_nothing_else():
    plain = samples.draw(PHOTOS, 24, Recipe(), seed=0)
    index = torch.arange(len(plain))
    before = views.look(plain, index, 24)
    torch.testing.assert_close(before.images, normalise(plain.pixels.float()))
    kept = views.look(plain, index, 24, draws_of(len(plain), mirror=0.5))
    assert torch.equal(kept.images, before.images)
    after = views.look(plain, index, 24, draws_of(len(plain), mirror=0.0))
    assert torch.equal(after.images, before.images.flip(3))
    left, top, right, bottom = before.offsets.unbind(dim=1)
    expected = torch.stack([-right, top, -left, bottom], dim=1)
    torch.testing.assert_close(after.offsets, expected, equal_nan=True)
    assert torch.equal(plain.pixels, samples.draw(PHOTOS, 24, Recipe(), seed=0).pixels)
