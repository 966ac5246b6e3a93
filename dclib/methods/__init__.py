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
    "RN-S": single_task("resnet18"),
    "RN-Sx": single_task("resnet18", widened=True),
    "RN": hard_sharing("resnet18"),
    "RNx": hard_sharing("resnet18", widened=True),
    "AN-S": single_task("alexnet"),
    "AN-Sx": single_task("alexnet", widened=True),
    "AN": hard_sharing("alexnet"),
    "ANx": hard_sharing("alexnet", widened=True),
    "XS": cross_stitch.PER_CHANNEL,
    "XS-layer": cross_stitch.PER_LAYER,
    "XSx": cross_stitch.WIDENED,
    "XS-single": cross_stitch.SINGLE_FIRST,
    "DCNet": deep_collaboration.METHOD,
    "NDDR": nddr.METHOD,
    "NDDR-single": nddr.SINGLE_FIRST,
    "Progressive": progressive.METHOD,
    "L2": l2_distance.METHOD,
    "LAF": trace_norm.LAF,
    "Tucker": trace_norm.TUCKER,
    "TT": trace_norm.TT,
    "Sluice": sluice.METHOD,
    "DRN": relationship.METHOD,
    "Private": shared_private.METHOD,
    "Private-adv": shared_private.ADVERSARIAL,
    "HF": hyperface.METHOD,
    "TCDCN": tcdcn.METHOD,
    "RN-stop": tcdcn.with_stopping("resnet18"),
    "AN-stop": tcdcn.with_stopping("alexnet"),
    "MTAN": mtan.METHOD,
}
