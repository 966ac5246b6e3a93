"""Pages in a real browser, Debian's Chromium, and what they leave in the document."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
# What a test's script calls when it is done; and errors of all scripts. Frames come by the clock:
# without a screen they may not come at all.
REPORT = """<script>
window.requestAnimationFrame = (act) => setTimeout(act, 1);
window.failed = [];
window.onerror = (text) => { failed.push(text); };
window.onunhandledrejection = (event) => { failed.push(String(event.reason)); report(null); };
function report(value) {
  const out = document.createElement("pre");
  out.id = "out";
  out.textContent = JSON.stringify({value, failed});
  document.body.append(out);
}
</script>"""


def run(page: Path, width: int = 1400) -> Any:
    """What the script of a page gave to `report`, once its virtual time is up.

    Raises:
        AssertionError: a script failed, or nothing was reported.
    """
    assert CHROMIUM
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags += [f"--window-size={width},1000", "--virtual-time-budget=20000"]
    command = [CHROMIUM, *flags, page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'<pre id="out">(.*?)</pre>', dom, re.DOTALL)
    assert found, f"nothing was reported: {dom[-2000:]}"
    told = json.loads(unescape(found[1]))
    assert told["failed"] == []
    return told["value"]
