"""The paper's own arithmetic, worked out again from the numbers that it prints: do they agree?

What came out is data, in `dclib/study/sums.csv`; `tests/test_arithmetic.py` works all of it out.
"""

import pandas as pd

from dclib.study.paper import LEDGER

SUMS = LEDGER.with_name("sums.csv")


def checks() -> pd.DataFrame:
    """One row per sum or statement that can be worked out again from printed numbers."""
    return pd.read_csv(SUMS, index_col="section")
