"""Pages in a real browser, Debian's Chromium, and what they leave in the document."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


# At the head of every page of a served book: what went wrong on it.
RECORDER = """<script>
window.faults = [];
window.addEventListener("error", (event) =>
  faults.push(event.message || `not loaded: ${event.target.src || event.target.href}`), true);
window.addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
console.error = (...told) => faults.push(told.join(" "));
</script>"""


def run(page: Path | str, width: int = 1400, virtual_ms: int = 20_000) -> Any:
    """What the script of a page, a file or an address, gave to `report` within its virtual time.

    Raises:
        AssertionError: a script failed, or nothing was reported.
    """
    assert CHROMIUM
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    flags += [f"--window-size={width},1000", f"--virtual-time-budget={virtual_ms}"]
    command = [CHROMIUM, *flags, page if isinstance(page, str) else page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    found = re.search(r'<pre id="out">(.*?)</pre>', dom, re.DOTALL)
    assert found, f"nothing was reported: {dom[-2000:]}"
    told = json.loads(unescape(found[1]))
    assert told["failed"] == []
    return told["value"]


class _Book(SimpleHTTPRequestHandler):
    """A built book, and beside it the page of a test, which may look into its frames."""

    def __init__(self, *args: Any, visitor: str, **more: Any) -> None:
        self.visitor = visitor
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.name == "visitor.html":
            content = self.visitor.encode()
        elif path.suffix == ".html" and path.is_file():
            content = path.read_bytes().replace(b"<head>", b"<head>" + RECORDER.encode(), 1)
        else:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *told: Any) -> None:
        pass


@contextmanager
def visiting(book: Path, script: str) -> Iterator[str]:
    """The address of a page whose script may `open` pages of a built book in its frame."""
    visitor = f"""<!doctype html><body>{REPORT}<iframe></iframe><script>
    const frame = document.querySelector("iframe");
    const settled = () => new Promise((done) => setTimeout(done, 30));
    const loaded = (act) => new Promise((done) => {{
      frame.addEventListener("load", () => setTimeout(done, 30), {{once: true}});
      act();
    }});
    async function open(page, width) {{
      frame.style.cssText = `width: ${{width}}px; height: 900px; border: 0`;
      await loaded(() => {{ frame.src = page; }});
      return frame.contentDocument;
    }}
    (async () => {{ {script} }})();
    </script></body>"""
    handler = partial(_Book, directory=str(book), visitor=visitor)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/visitor.html"
        server.shutdown()
