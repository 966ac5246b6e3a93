// The live page: a photo with a square over a face, the network's answers, and a slider for what
// each task gives to each block's central aggregation. The network itself is in dcnet.js.
"use strict";

(() => {
  const root = document.getElementById("live");
  if (!root || typeof LIVE === "undefined") return;
  const find = (name) => root.querySelector(`[data-live="${name}"]`);
  const run = DCNet.network(LIVE);
  const factors = DCNet.allOn(LIVE);
  const names = LIVE.tasks.map((task) => task.name);
  const bins = LIVE.tasks[0].bins;

  const state = { photo: null, picture: null, squares: [], square: null, camera: null };
  const photoView = find("photo"), faceView = find("face"), message = find("message");
  const ink = { now: "#e8590c", before: "#ffffff", square: "#ffd43b" };

  const say = (text) => { message.textContent = text; };
  const percent = (share) => `${Math.round(100 * share)} %`;

  function make(tag, values = {}, ...children) {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...children);
    return element;
  }

  // Photos: the group photo of the page, a file of the reader's, a frame of the camera.

  const LARGEST = 1600; // pixels of the longer side; larger photos are made smaller

  function show(source, width, height, squares = []) {
    const shrink = Math.min(1, LARGEST / Math.max(width, height));
    const picture = make("canvas");
    picture.width = Math.max(1, Math.round(width * shrink));
    picture.height = Math.max(1, Math.round(height * shrink));
    const pen = picture.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "white"; // what is transparent stands over white
    pen.fillRect(0, 0, picture.width, picture.height);
    pen.drawImage(source, 0, 0, picture.width, picture.height);
    state.picture = picture;
    state.photo = pen.getImageData(0, 0, picture.width, picture.height);
    state.squares = squares;
    find("next").hidden = squares.length < 2;
    photoView.width = picture.width;
    photoView.height = picture.height;
    const side = Math.min(picture.width, picture.height) * 0.6;
    state.square = squares[0] ? { ...squares[0] } :
      { left: (picture.width - side) / 2, top: (picture.height - side) / 2, side };
    look();
  }

  function load(address, squares, failed) {
    const image = new Image();
    image.onload = () => show(image, image.naturalWidth, image.naturalHeight, squares);
    image.onerror = () => say(failed);
    image.src = address;
  }

  function groupPhoto() {
    const { side, noses } = FACES;
    const squares = noses.map(([x, y]) => ({ left: x - side / 2, top: y - 0.55 * side, side }));
    const first = squares.splice(FACES.first, 1);
    load(FACES.photo, [...first, ...squares], "The group photo could not be shown.");
  }

  function stopCamera() {
    if (state.camera) state.camera.getTracks().forEach((track) => track.stop());
    state.camera = null;
    find("video").hidden = true;
    find("camera").textContent = "Use the camera";
  }

  async function camera() {
    const video = find("video");
    if (state.camera) { // the second press takes the picture
      show(video, video.videoWidth, video.videoHeight);
      stopCamera();
      return;
    }
    try {
      state.camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch {
      say("The camera is not to be had: allow it in the browser, or open a photo instead.");
      return;
    }
    video.srcObject = state.camera;
    video.hidden = false;
    await video.play();
    find("camera").textContent = "Take the picture";
  }

  let shown = 0;
  find("next").onclick = () => {
    shown = (shown + 1) % state.squares.length;
    place({ ...state.squares[shown] });
  };
  find("group").onclick = () => { stopCamera(); groupPhoto(); };
  find("camera").onclick = camera;
  find("file").onchange = (event) => {
    const [file] = event.target.files;
    if (!file) return;
    stopCamera();
    load(URL.createObjectURL(file), [], `${file.name} is no photo that this browser can show.`);
    event.target.value = "";
  };

  // The square: dragged, drawn anew, or moved by keys.

  function place(square) {
    const { width, height } = state.picture;
    const side = Math.max(12, Math.min(square.side, 1.5 * Math.max(width, height)));
    const within = (at, limit) => Math.max(-side / 2, Math.min(at, limit - side / 2));
    state.square = { left: within(square.left, width), top: within(square.top, height), side };
    look();
  }

  function pointed(event) {
    const box = photoView.getBoundingClientRect();
    const zoom = photoView.width / box.width;
    return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
  }

  let drag = null;
  photoView.onpointerdown = (event) => {
    const [x, y] = pointed(event);
    const holds = ({ left, top, side }) => x >= left && x < left + side && y >= top && y < top + side;
    const known = state.squares.find(holds);
    if (known && !holds(state.square)) place({ ...known });
    drag = holds(state.square) ? { x, y, from: { ...state.square } } : { x, y };
    photoView.setPointerCapture(event.pointerId);
    event.preventDefault();
    photoView.focus({ preventScroll: true });
  };
  photoView.onpointermove = (event) => {
    if (!drag) return;
    const [x, y] = pointed(event);
    if (drag.from) {
      place({ ...drag.from, left: drag.from.left + x - drag.x, top: drag.from.top + y - drag.y });
      return;
    }
    const side = Math.max(Math.abs(x - drag.x), Math.abs(y - drag.y));
    if (side > 12)
      place({ left: x < drag.x ? drag.x - side : drag.x, top: y < drag.y ? drag.y - side : drag.y, side });
  };
  photoView.onpointerup = photoView.onpointercancel = () => { drag = null; };

  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function resize(by) {
    const { left, top, side } = state.square;
    place({ left: left - (side * by - side) / 2, top: top - (side * by - side) / 2, side: side * by });
  }
  photoView.onkeydown = (event) => {
    const { left, top, side } = state.square;
    if (event.key in KEYS) {
      const [x, y] = KEYS[event.key];
      place({ left: left + x * side / 24, top: top + y * side / 24, side });
    } else if (event.key === "+" || event.key === "=") resize(1.05);
    else if (event.key === "-") resize(1 / 1.05);
    else return;
    event.preventDefault();
  };
  find("larger").onclick = () => resize(1.1);
  find("smaller").onclick = () => resize(1 / 1.1);

  // Sliders: a row a task, a column a block.

  const sliders = names.map((name, t) => LIVE.depths.map((depth, d) => {
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1 });
    slider.setAttribute("aria-label", `features of ${name} in block ${depth}`);
    slider.oninput = () => { factors[d][t] = Number(slider.value); answer(); };
    return slider;
  }));

  function set(pick, value) { // those that `pick(task, depth)` holds for
    sliders.forEach((row, t) => row.forEach((slider, d) => {
      if (!pick(t, d)) return;
      slider.value = value;
      factors[d][t] = value;
    }));
    answer();
  }
  const allOff = (pick) => factors.every((row, d) => row.every((value, t) => !pick(t, d) || value === 0));
  const toggle = (pick) => set(pick, allOff(pick) ? 1 : 0);
  const button = (text, label, pick) => {
    const made = make("button", { type: "button", textContent: text });
    made.setAttribute("aria-label", label);
    made.onclick = () => toggle(pick);
    return made;
  };
  const cell = (tag, child) => make(tag, {}, child);
  find("sliders").append(
    make("thead", {}, make("tr", {}, make("th", { textContent: "" }), ...LIVE.depths.map((depth, d) =>
      cell("th", button(`${depth}`, `block ${depth}: all tasks off or on`, (_, at) => at === d))))),
    make("tbody", {}, ...names.map((name, t) => make("tr", {},
      cell("th", button(name, `${name}: all blocks off or on`, (at) => at === t)),
      ...sliders[t].map((slider) => cell("td", slider))))),
  );
  find("on").onclick = () => set(() => true, 1);
  find("off").onclick = () => set(() => true, 0);
  find("others").onclick = () => set((t) => t > 0, 0);

  // Labels: a bar for each value; a mark where it was with all sliders at 1.

  const rows = {};
  LIVE.tasks.slice(1).forEach((task) => {
    const words = LIVE.words[task.name];
    rows[task.name] = words.map((word) => {
      const bar = make("span", { className: "live-bar" }), mark = make("span", { className: "live-mark" });
      const share = make("span", { className: "live-share" });
      const row = make("div", { className: "live-row" },
        make("span", { textContent: word }), make("span", { className: "live-track" }, bar, mark), share);
      return { row, bar, mark, share };
    });
    find("labels").append(make("div", { className: "live-label" },
      make("strong", { textContent: task.name }), ...rows[task.name].map(({ row }) => row)));
  });

  // Answers.

  let image = null, before = null;

  function look() { // at the square
    image = DCNet.normalised(DCNet.crop(state.photo, state.square, LIVE.resolution), LIVE);
    before = run(image, DCNet.allOn(LIVE));
    answer();
  }

  let waiting = false;
  function answer() { // once a frame, however fast a slider is moved
    if (waiting || !image) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    const began = performance.now();
    const logits = run(image, factors);
    const took = performance.now() - began;
    const now = DCNet.landmarks(logits[names[0]], bins);
    const then = DCNet.landmarks(before[names[0]], bins);
    drawPhoto();
    drawFace(now.points, then.points);
    for (const [name, values] of Object.entries(rows)) {
      const shares = DCNet.softmax(logits[name]), old = DCNet.softmax(before[name]);
      values.forEach(({ row, bar, mark, share }, at) => {
        bar.style.width = `${100 * shares[at]}%`;
        mark.style.left = `${100 * old[at]}%`;
        share.textContent = percent(shares[at]);
        row.classList.toggle("live-best", shares[at] === Math.max(...shares));
      });
    }
    const eyes = Math.hypot(then.points[0][0] - then.points[1][0], then.points[0][1] - then.points[1][1]);
    const moved = now.points.reduce((sum, [x, y], at) =>
      sum + Math.hypot(x - then.points[at][0], y - then.points[at][1]), 0) / now.points.length;
    find("moved").textContent = moved < 0.005 ? "" :
      `Landmarks lie ${percent(moved / eyes)} of the distance between the eyes from where they were.`;
    find("took").textContent = `${Math.round(took)} ms`;
    say(then.sure < LIVE.face.least ? "No face is likely in this square: drag it over one." : "");
    root.dataset.sure = then.sure;
    window.liveAnswer = { logits, before, image, square: state.square }; // for tests
  }

  function drawPhoto() {
    const pen = photoView.getContext("2d");
    pen.drawImage(state.picture, 0, 0);
    const line = Math.max(2, state.picture.width / 400);
    pen.lineWidth = line / 2;
    pen.strokeStyle = "rgba(255, 255, 255, 0.7)";
    state.squares.forEach(({ left, top, side }) => pen.strokeRect(left, top, side, side));
    pen.lineWidth = line;
    pen.strokeStyle = ink.square;
    pen.strokeRect(state.square.left, state.square.top, state.square.side, state.square.side);
  }

  function drawFace(points, old) {
    const pen = faceView.getContext("2d"), size = faceView.width, zoom = size / LIVE.resolution;
    const { left, top, side } = state.square;
    pen.fillStyle = "black";
    pen.fillRect(0, 0, size, size);
    pen.drawImage(state.picture, left, top, side, side, 0, 0, size, size);
    const circle = ([x, y], radius) => {
      pen.beginPath();
      pen.arc(x * zoom, y * zoom, radius, 0, 2 * Math.PI);
    };
    old.forEach((point) => {
      circle(point, 7);
      pen.lineWidth = 4;
      pen.strokeStyle = "black";
      pen.stroke();
      pen.lineWidth = 2;
      pen.strokeStyle = ink.before;
      pen.stroke();
    });
    points.forEach((point) => {
      circle(point, 5);
      pen.fillStyle = ink.now;
      pen.fill();
      pen.lineWidth = 1.5;
      pen.strokeStyle = "black";
      pen.stroke();
    });
  }

  groupPhoto();
})();
