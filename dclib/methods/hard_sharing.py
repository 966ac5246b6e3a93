"""One underlying network: for the main task alone, or shared by all tasks (Caruana, 1998).

The paper's RN-S and AN-S, RN and AN; with an x where it is widened (section 4.2).
"""

from dclib.network import Method


def single_task(underlying: str, widened: bool = False) -> Method:
    """The main task alone."""
    return Method(
        "single task, widened" if widened else "single task",
        equation=r"\hat{y}_1 = \mathrm{head}_1(f(\mathrm{image}))",
        main_only=True,
        widened=widened,
        underlying=underlying,
    )


def hard_sharing(underlying: str, widened: bool = False) -> Method:
    """All tasks on the features of one network, with a head each."""
    return Method(
        "hard sharing, widened" if widened else "hard sharing",
        source="caruana1998",
        equation=r"\hat{y}_t = \mathrm{head}_t(f(\mathrm{image}))",
        widened=widened,
        underlying=underlying,
    )
