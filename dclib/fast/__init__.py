"""The same networks, computed faster; without this room they are computed as they are written."""

from dclib.fast.forms import FORMS as FORMS
from dclib.fast.forms import apply as apply
from dclib.fast.forms import choose as choose
from dclib.fast.forms import recorded as recorded
from dclib.fast.forms import settle as settle
