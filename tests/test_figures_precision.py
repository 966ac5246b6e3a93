"""Half precision against full: pairs of runs, their difference, what the figure shows of it."""

import numpy as np
import pytest
from fake_records import NO_RELATED, fake_record

from dclib.study.figures import precision


def both(method, scale, try_=0):
    half = fake_record(method, scale, try_=try_, precision="bf16")
    return [fake_record(method, try_=try_), half]


def failure_rate(record):
    return 100 * np.mean(record.outcomes.errors["bin"] > 0.10)


def test_only_what_was_trained_both_ways_is_compared():
    alone = [fake_record("XS"), fake_record("RN-S", precision="bf16"), fake_record("RN", try_=1)]
    control = fake_record("DCNet", related=NO_RELATED)
    chosen = both("RN", 1.1)
    assert precision.pairs([*alone, control, *chosen]) == chosen
    assert precision.table(alone).empty
    with pytest.raises(ValueError, match="no method"):
        precision.figure(alone)


def test_differences_are_those_of_the_rates():
    records = [r for method in ("DCNet", "RN") for r in both(method, 1.2)]
    table = precision.table(records)
    assert list(table.index) == ["RN", "DCNet"]
    for full, half in (records[:2], records[2:]):
        row = table.loc[full.experiment.method]
        assert row["fp32"] == pytest.approx(failure_rate(full))
        assert row["bin"] == pytest.approx(failure_rate(half) - failure_rate(full))
        assert 0 < row["bin low"] < row["bin"] < row["bin high"]  # errors are a fifth larger


def test_the_figure_shows_the_table():
    records = [*both("RN", 0.8), *both("RN", 0.8, try_=1)]
    (ax,) = precision.figure(records).axes
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in "os"]
    row = precision.table(records).loc["RN"]
    assert points == pytest.approx([row["bin"], row["soft"]])
    assert row["tries"] == 2
