"""The shift of the annotations against shifts that were put there."""

import numpy as np
import pytest

from dclib.study.figures import shift as pictures
from dclib.study.verdicts import shift

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(5, 40, (400, 5, 2))
OWN = RNG.normal(0, 1, (3, 400, 5, 2))  # three methods


def test_a_shift_that_all_share_is_taken_off():
    lean = np.array([0.5, -0.2]) * np.arange(1, 6)[:, None]
    points, shifts = shift.removed(TRUTH + OWN + lean, TRUTH)
    assert shifts == pytest.approx(np.stack([lean, lean]), abs=0.25)
    assert (points - TRUTH).mean(axis=(0, 1)) == pytest.approx(np.zeros((5, 2)), abs=0.1)


def test_what_only_one_method_has_is_left_to_it():
    apart = OWN + np.array([3.0, 0.0, 0.0])[:, None, None, None]
    points, _ = shift.removed(TRUTH + apart, TRUTH)
    means = (points - TRUTH).mean(axis=(1, 2, 3))
    assert means[0] - means[1] == pytest.approx(3, abs=0.1)


def test_no_face_is_corrected_by_its_own_annotation():
    """One annotation moved far: the median of its half moves, its own correction does not."""
    other = TRUTH.copy()
    other[7] += 30
    before, after = (shift.removed(TRUTH + OWN, t)[0] for t in (TRUTH, other))
    assert np.array_equal(before[:, 7], after[:, 7])


@pytest.mark.skipif(shift.read() is None, reason="nothing was measured yet")
def test_what_is_kept_is_drawn_and_holds_no_face():
    found = shift.read()
    fig = pictures.figure(found)
    assert len(fig.axes) == 2
    assert pictures.table(found).notna().all().all()
    assert max(map(len, found["bin"]["shift"])) == 2
    assert shift.path().stat().st_size < 20_000
