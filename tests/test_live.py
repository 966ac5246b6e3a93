"""The live page: what its script computes in a browser, against PyTorch."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import REPORT, needs_browser, run
from torch.nn import functional

import dclib
from dclib.data.photo import crop
from dclib.errors import RunError
from dclib.use import browser

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "book" / "_static" / "live"
SCRIPT = (LIVE / "dcnet.js").read_text()


def forward(file: dict, image: torch.Tensor, factors: list[list[float]]) -> dict:
    """The network once more, from the file's numbers alone: ResNet18, Eq. 1-3, heads.

    Args:
        image: (1, 3, R, R), normalised.
        factors: what the central aggregation gets of a task (depth, task).
    """
    raw = np.frombuffer(base64.b64decode(file["numbers"]), "<f2").astype(np.float64)

    def conv(name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
        at, shape = file["layers"][name]["at"], file["layers"][name]["shape"]
        size = int(np.prod(shape))
        weight = torch.tensor(raw[at : at + size]).reshape(shape)
        bias = torch.tensor(raw[at + size : at + size + shape[0]])
        if len(shape) == 2:
            return x @ weight.T + bias
        return functional.conv2d(x, weight, bias, padding=shape[2] // 2, **options)

    def unit(name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        inner = conv(f"{name}.conv2", conv(f"{name}.conv1", x, stride=stride).relu())
        resized = f"{name}.downsample.0"
        return (
            inner + (conv(resized, x, stride=stride) if resized in file["layers"] else x)
        ).relu()

    x = [image.double()] * len(file["tasks"])
    for depth, scales in enumerate(factors):
        for t in range(len(x)):
            name = f"columns.{t}.{depth}"
            if depth == 0:
                x[t] = functional.max_pool2d(conv(f"{name}.0", x[t], stride=2).relu(), 3, 2, 1)
            else:
                x[t] = unit(f"{name}.1", unit(f"{name}.0", x[t], 2 if depth > 1 else 1), 1)
        mixer = f"mixers.{depth}"
        together = torch.cat([own * scale for own, scale in zip(x, scales, strict=True)], dim=1)
        z = conv(f"{mixer}.central.3", conv(f"{mixer}.central.0", together).relu()).relu()
        for t, own in enumerate(x):
            f = f"{mixer}.specific.{t}"
            x[t] = (own + conv(f"{f}.3", conv(f"{f}.0", torch.cat([own, z], 1)).relu())).relu()
    return {
        task["name"]: conv(f"heads.{t}.3", conv(f"heads.{t}.0", x[t].mean((2, 3))).relu())[0]
        for t, task in enumerate(file["tasks"])
    }


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    made = dclib.build("DCNet", tasks=dclib.mtfl_tasks(48), width=0.125, resolution=48).train()
    with torch.no_grad():
        for _ in range(3):  # so that BatchNorms have something to fold
            made(torch.randn(16, 3, 48, 48))
    return made.eval()


@pytest.fixture(scope="module")
def script(net):
    return browser.script(net, 48, {"run": "none"})


def content(script: str) -> dict:
    return json.loads(script.partition(" = ")[2].rstrip().rstrip(";"))


def test_the_file_holds_the_network_to_half_precision(net, script):
    image = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    found = forward(content(script), image, [[1.0] * 5] * 5)
    with torch.no_grad():
        for name, logits in net(image).items():
            largest = float(logits.abs().max())
            assert float((found[name] - logits.flatten()).abs().max()) < 5e-3 * largest


def test_other_networks_are_refused():
    tasks = dclib.mtfl_tasks(64)
    with pytest.raises(RunError, match="computes DCNet on ResNet18 only"):
        browser.script(dclib.build("XS", tasks=tasks, width=0.125, resolution=64), 64, {})


@needs_browser
def test_the_script_computes_what_pytorch_computes(script, tmp_path):
    random = np.random.default_rng(0)
    image = random.normal(size=(3, 48, 48)).astype(np.float32)
    factors = [[1.0] * 5, *random.uniform(size=(3, 5)).tolist(), [0.0, 1.0, 0.0, 0.5, 0.0]]
    case = json.dumps({"image": image.ravel().tolist(), "factors": factors})
    page = tmp_path / "page.html"
    page.write_text(f"""<body>{REPORT}<script>{script}</script><script>{SCRIPT}</script><script>
      const {{image, factors}} = {case};
      const logits = DCNet.network(LIVE)(Float32Array.from(image), factors);
      report(Object.fromEntries(Object.entries(logits).map(([k, v]) => [k, Array.from(v)])));
    </script></body>""")
    found = run(page)
    expected = forward(content(script), torch.tensor(image)[None], factors)
    assert found.keys() == expected.keys()
    for name, logits in expected.items():
        assert np.abs(np.array(found[name]) - logits.numpy()).max() < 1e-5


@needs_browser
def test_photos_are_cut_as_predict_cuts_them(tmp_path):
    photo = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    squares = [(20.3, 10.7, 61.2), (5, 5, 30.5), (-12.5, 40, 80)]  # smaller, larger, beyond
    rgba = np.concatenate([photo, np.full((90, 120, 1), 255, np.uint8)], axis=2)
    case = json.dumps({"data": rgba.ravel().tolist(), "width": 120, "height": 90})
    page = tmp_path / "page.html"
    page.write_text(f"""<body>{REPORT}<script>{SCRIPT}</script><script>
      const photo = {case};
      report({json.dumps(squares)}.map(([left, top, side]) =>
        Array.from(DCNet.crop(photo, {{left, top, side}}, 48))));
    </script></body>""")
    from PIL import Image

    for found, square in zip(run(page), squares, strict=True):
        expected, _ = crop(Image.fromarray(photo), np.zeros((0, 2)), square, 48, margin=0)
        assert np.abs(np.array(found) - expected.ravel()).max() <= 1


@needs_browser
@pytest.mark.skipif(not (LIVE / "weights.js").exists(), reason="the network is not trained yet")
def test_the_page_answers_and_its_sliders_act(tmp_path):
    block = re.search(r"```\{raw\} html\n(.*?)```", (ROOT / "book" / "live.md").read_text(), re.S)
    html = block[1].replace("_static/", f"{(ROOT / 'book' / '_static').as_uri()}/")
    page = tmp_path / "page.html"
    page.write_text(f"""<!doctype html><body>{REPORT}{html}<script>
      const live = document.getElementById("live");
      const click = (name) => live.querySelector(`[data-live="${{name}}"]`).click();
      const frame = () => new Promise((done) => setTimeout(done, 20));
      const told = () => ({{
        image: Array.from(liveAnswer.image), square: {{...liveAnswer.square}},
        logits: Object.fromEntries(Object.entries(liveAnswer.logits).map(([k, v]) => [k, [...v]])),
        message: live.querySelector('[data-live="message"]').textContent,
        moved: live.querySelector('[data-live="moved"]').textContent,
      }});
      window.onload = async () => {{
        while (!window.liveAnswer) await frame();
        const steps = {{began: told()}};
        const slider = live.querySelectorAll('input[type="range"]')[4 * 5 + 4]; // profile, block 5
        slider.value = 0; slider.dispatchEvent(new Event("input")); await frame();
        steps.without = told();
        click("on"); await frame(); steps.again = told();
        click("next"); await frame(); steps.next = told();
        for (let i = 0; i < 60; i++)
          live.querySelector("canvas").dispatchEvent(new KeyboardEvent("keydown", {{key: "-"}}));
        await frame(); steps.tiny = told();
        report(steps);
      }};
    </script></body>""")
    steps = run(page, 390)
    file = content((LIVE / "weights.js").read_text())
    on = [[1.0] * 5 for _ in range(5)]
    cut = [*on[:4], [1.0, 1.0, 1.0, 1.0, 0.0]]
    for name, factors in (("began", on), ("without", cut), ("again", on), ("next", on)):
        image = torch.tensor(steps[name]["image"]).reshape(1, 3, 48, 48)
        for task, logits in forward(file, image, factors).items():
            assert np.abs(np.array(steps[name]["logits"][task]) - logits.numpy()).max() < 1e-3
    assert steps["began"]["message"] == steps["began"]["moved"] == ""
    assert "of the distance between the eyes" in steps["without"]["moved"]
    assert steps["again"]["logits"] == steps["began"]["logits"]
    assert steps["next"]["square"] != steps["began"]["square"]
    assert "No face is likely" in steps["tiny"]["message"]
