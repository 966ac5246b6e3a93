"""The methods by the paper's names: what the paper compares with, and its relatives.

A method is one file here and one line in `METHODS`. Tests, the gallery and its tables go through
this registry.
"""

from dclib.columns import Method
from dclib.methods import cross_stitch, deep_collaboration

METHODS = {
    "RN-S": Method("single task", main_only=True, underlying="resnet18"),
    "RN-Sx": Method("single task, widened", main_only=True, widened=True, underlying="resnet18"),
    "RN": Method("hard sharing", underlying="resnet18"),
    "RNx": Method("hard sharing, widened", widened=True, underlying="resnet18"),
    "AN-S": Method("single task", main_only=True, underlying="alexnet"),
    "AN-Sx": Method("single task, widened", main_only=True, widened=True, underlying="alexnet"),
    "AN": Method("hard sharing", underlying="alexnet"),
    "ANx": Method("hard sharing, widened", widened=True, underlying="alexnet"),
    "XS": cross_stitch.PER_CHANNEL,
    "XS-layer": cross_stitch.PER_LAYER,
    "XSx": cross_stitch.WIDENED,
    "XS-single": cross_stitch.SINGLE_FIRST,
    "DCNet": deep_collaboration.METHOD,
}
