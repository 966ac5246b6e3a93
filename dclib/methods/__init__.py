"""The methods by the paper's names: what the paper compares with, and its relatives.

A method is one file here and one line in `METHODS`. Tests, the gallery and its tables go through
this registry.
"""

from dclib.methods import (
    cross_stitch,
    deep_collaboration,
    hyperface,
    l2_distance,
    mtan,
    nddr,
    progressive,
    relationship,
    shared_private,
    sluice,
    tcdcn,
    trace_norm,
)
from dclib.methods.hard_sharing import hard_sharing, single_task

METHODS = {
    # one network
    "RN-S": single_task("resnet18"),
    "RN-Sx": single_task("resnet18", widened=True),
    "RN": hard_sharing("resnet18"),
    "RNx": hard_sharing("resnet18", widened=True),
    "RN-stop": tcdcn.with_stopping("resnet18"),
    "AN-S": single_task("alexnet"),
    "AN-Sx": single_task("alexnet", widened=True),
    "AN": hard_sharing("alexnet"),
    "ANx": hard_sharing("alexnet", widened=True),
    "AN-stop": tcdcn.with_stopping("alexnet"),
    "TCDCN": tcdcn.METHOD,
    "HF": hyperface.METHOD,
    "MTAN": mtan.METHOD,
    "DRN": relationship.METHOD,
    # a column for each task, joined by mixers
    "XS": cross_stitch.PER_CHANNEL,
    "XS-layer": cross_stitch.PER_LAYER,
    "XS-single": cross_stitch.SINGLE_FIRST,
    "XSx": cross_stitch.WIDENED,
    "Sluice": sluice.METHOD,
    "NDDR": nddr.METHOD,
    "NDDR-single": nddr.SINGLE_FIRST,
    "DCNet": deep_collaboration.METHOD,
    "DCNet-identity": deep_collaboration.IDENTITY_START,
    # a column for each task, joined otherwise
    "L2": l2_distance.METHOD,
    "LAF": trace_norm.LAF,
    "Tucker": trace_norm.TUCKER,
    "TT": trace_norm.TT,
    "Private": shared_private.METHOD,
    "Private-adv": shared_private.ADVERSARIAL,
    "Progressive": progressive.METHOD,
}
