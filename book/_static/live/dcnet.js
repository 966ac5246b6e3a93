// DCNet in a browser: the network of the paper as dclib/block.py and dclib/network.py have it, in
// plain JavaScript. Maps are {channels, height, width, data}, data channel by channel, row by row.
"use strict";

const DCNet = (() => {
  // Sixteen-bit floats (IEEE 754 binary16) as they stand in the file of weights, to numbers.
  function fromHalf(half) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function unpacked(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const halves = new Uint16Array(bytes.buffer);
    const numbers = new Float32Array(halves.length);
    halves.forEach((half, at) => { numbers[at] = fromHalf(half); });
    return numbers;
  }

  const maps = (channels, height, width, data) =>
    ({ channels, height, width, data: data || new Float32Array(channels * height * width) });

  // Windows of an image as columns of a matrix (channels * kernel * kernel, positions).
  function windows(x, kernel, stride, padding, height, width) {
    const columns = new Float32Array(x.channels * kernel * kernel * height * width);
    let at = 0;
    for (let c = 0; c < x.channels; c++)
      for (let i = 0; i < kernel; i++)
        for (let j = 0; j < kernel; j++)
          for (let row = 0; row < height; row++) {
            const y = row * stride + i - padding;
            const inside = y >= 0 && y < x.height;
            const from = (c * x.height + y) * x.width;
            for (let column = 0; column < width; column++, at++) {
              const z = column * stride + j - padding;
              if (inside && z >= 0 && z < x.width) columns[at] = x.data[from + z];
            }
          }
    return columns;
  }

  // A convolution whose BatchNorm is folded into its weights. Four outputs are summed at a time.
  function convolution({ shape, weight, bias }, stride = 1, padding = (shape[2] - 1) / 2) {
    const [outputs, inputs, kernel] = shape;
    const length = inputs * kernel * kernel;
    return (x) => {
      const height = Math.floor((x.height + 2 * padding - kernel) / stride) + 1;
      const width = Math.floor((x.width + 2 * padding - kernel) / stride) + 1;
      const count = height * width;
      const plain = kernel === 1 && stride === 1;
      const columns = plain ? x.data : windows(x, kernel, stride, padding, height, width);
      const y = maps(outputs, height, width);
      for (let o = 0; o < outputs; o++) {
        const sums = y.data.subarray(o * count, (o + 1) * count).fill(bias[o]);
        let i = 0;
        for (; i + 3 < length; i += 4) {
          const w = o * length + i;
          const a = weight[w], b = weight[w + 1], c = weight[w + 2], d = weight[w + 3];
          const p = i * count, q = p + count, r = q + count, s = r + count;
          for (let k = 0; k < count; k++)
            sums[k] += a * columns[p + k] + b * columns[q + k] + c * columns[r + k] + d * columns[s + k];
        }
        for (; i < length; i++) {
          const a = weight[o * length + i], p = i * count;
          for (let k = 0; k < count; k++) sums[k] += a * columns[p + k];
        }
      }
      return y;
    };
  }

  const map = (x, what) => maps(x.channels, x.height, x.width, x.data.map(what));
  const relu = (x) => map(x, (value) => Math.max(value, 0));
  const add = (x, y) => map(x, (value, at) => value + y.data[at]);
  const scale = (x, factor) => (factor === 1 ? x : map(x, (value) => value * factor));
  const chain = (...steps) => (x) => steps.reduce((value, step) => step(value), x);

  function concatenate(all) {
    const channels = all.reduce((sum, x) => sum + x.channels, 0);
    const y = maps(channels, all[0].height, all[0].width);
    let at = 0;
    for (const x of all) { y.data.set(x.data, at); at += x.data.length; }
    return y;
  }

  function maxPool(x) { // 3 x 3, stride 2, padding 1
    const y = maps(x.channels, Math.floor((x.height - 1) / 2) + 1, Math.floor((x.width - 1) / 2) + 1);
    let at = 0;
    for (let c = 0; c < y.channels; c++)
      for (let row = 0; row < y.height; row++)
        for (let column = 0; column < y.width; column++, at++) {
          let most = -Infinity;
          for (let i = Math.max(0, 2 * row - 1); i < Math.min(x.height, 2 * row + 2); i++)
            for (let j = Math.max(0, 2 * column - 1); j < Math.min(x.width, 2 * column + 2); j++)
              most = Math.max(most, x.data[(c * x.height + i) * x.width + j]);
          y.data[at] = most;
        }
    return y;
  }

  function mean(x) { // over positions: a number a channel
    const count = x.height * x.width;
    const means = new Float32Array(x.channels);
    x.data.forEach((value, at) => { means[Math.floor(at / count)] += value / count; });
    return maps(x.channels, 1, 1, means);
  }

  // The underlying network, ResNet18, as five blocks: a stem and four stages of two residual blocks.
  function columns(layer, task) {
    const residual = (name, stride) => {
      const first = convolution(layer(`${name}.conv1`), stride);
      const second = convolution(layer(`${name}.conv2`));
      const resized = layer(`${name}.downsample.0`, true);
      const shortcut = resized ? convolution(resized, stride, 0) : (x) => x;
      return (x) => relu(add(second(relu(first(x))), shortcut(x)));
    };
    const stage = (at) => {
      const name = `columns.${task}.${at}`;
      return chain(residual(`${name}.0`, at > 1 ? 2 : 1), residual(`${name}.1`, 1));
    };
    const stem = chain(convolution(layer(`columns.${task}.0.0`), 2), relu, maxPool);
    return [stem, stage(1), stage(2), stage(3), stage(4)];
  }

  // Eq. 2, H: all tasks' features become global feature maps.
  function centralAggregation(layer, name) {
    const first = convolution(layer(`${name}.0`));
    const second = convolution(layer(`${name}.3`));
    return (x) => relu(second(relu(first(x))));
  }

  // Eq. 3, F_t: a task's own features and the global ones.
  function taskSpecificAggregation(layer, name) {
    const first = convolution(layer(`${name}.0`));
    const second = convolution(layer(`${name}.3`));
    return (x) => second(relu(first(x)));
  }

  // Eq. 1: y_t = ReLU(x_t + F_t([x_t, z])), z = H([x_1, ..., x_T]).
  // What H gets of each task is multiplied by `factors`: 1 is the network as it was trained.
  function collaborativeBlock(layer, depth, tasks) {
    const H = centralAggregation(layer, `mixers.${depth}.central`);
    const F = Array.from({ length: tasks }, (_, t) =>
      taskSpecificAggregation(layer, `mixers.${depth}.specific.${t}`));
    return (x, factors) => {
      const z = H(concatenate(x.map((own, t) => scale(own, factors[t]))));
      return x.map((own, t) => relu(add(own, F[t](concatenate([own, z])))));
    };
  }

  function head(layer, task) {
    const first = convolution(layer(`heads.${task}.0`), 1, 0);
    const second = convolution(layer(`heads.${task}.3`), 1, 0);
    return chain(mean, first, relu, second);
  }

  // A function of an image, normalised (3, R, R), and factors (depth, task): logits by task.
  function network(file) {
    const numbers = unpacked(file.numbers);
    const layer = (name, optional = false) => {
      const about = file.layers[name];
      if (!about) {
        if (optional) return null;
        throw new Error(`the file of weights has no layer ${name}`);
      }
      const shape = about.shape.length === 2 ? [...about.shape, 1, 1] : about.shape;
      const size = shape.reduce((product, side) => product * side, 1);
      const weight = numbers.subarray(about.at, about.at + size);
      return { shape, weight, bias: numbers.subarray(about.at + size, about.at + size + shape[0]) };
    };
    const T = file.tasks.length;
    const tasks = Array.from({ length: T }, (_, t) => t);
    const blocks = tasks.map((t) => columns(layer, t));
    const mixers = blocks[0].map((_, depth) => collaborativeBlock(layer, depth, T));
    const heads = tasks.map((t) => head(layer, t));
    return (image, factors) => {
      let x = tasks.map(() => maps(3, file.resolution, file.resolution, image));
      mixers.forEach((mixer, depth) => {
        x = mixer(x.map((own, t) => blocks[t][depth](own)), factors[depth]);
      });
      return Object.fromEntries(tasks.map((t) => [file.tasks[t].name, heads[t](x[t]).data]));
    };
  }

  const allOn = (file) => file.depths.map(() => file.tasks.map(() => 1));

  // Photos.

  const lanczos = (x) => {
    if (Math.abs(x) >= 3) return 0;
    const part = (y) => (y === 0 ? 1 : Math.sin(Math.PI * y) / (Math.PI * y));
    return part(x) * part(x / 3);
  };

  // For each of `size` pixels between `from` and `from + span`, the pixels that it is made of.
  function filters(from, span, size, limit) {
    const step = span / size, wide = Math.max(step, 1);
    return Array.from({ length: size }, (_, at) => {
      const centre = from + (at + 0.5) * step;
      const first = Math.max(0, Math.trunc(centre - 3 * wide + 0.5));
      const end = Math.min(limit, Math.trunc(centre + 3 * wide + 0.5));
      const shares = [];
      for (let i = first; i < end; i++) shares.push(lanczos((i - centre + 0.5) / wide));
      const sum = shares.reduce((a, b) => a + b, 0);
      return { first, shares: shares.map((share) => share / sum) };
    });
  }

  // A square {left, top, side} of a photo as dclib/data/photo.py cuts it: Lanczos, edges repeated.
  // `photo` is {width, height, data} with RGBA, as canvases give; the result is RGB (3, R, R) in 0..255.
  function crop(photo, square, resolution) {
    const { left, top, side } = square;
    const column = Math.floor(left), row = Math.floor(top);
    const width = Math.ceil(left + side) - column, height = Math.ceil(top + side) - row;
    const clip = (value, limit) => Math.min(Math.max(value, 0), limit - 1);
    const across = filters(left - column, side, resolution, width);
    const down = filters(top - row, side, resolution, height);
    const result = new Float32Array(3 * resolution * resolution);
    const byte = (value) => Math.min(Math.max(Math.round(value), 0), 255);
    for (let c = 0; c < 3; c++) {
      const narrow = new Float32Array(height * resolution);
      for (let i = 0; i < height; i++) {
        const from = clip(row + i, photo.height) * photo.width;
        across.forEach(({ first, shares }, j) => {
          let sum = 0;
          shares.forEach((share, k) => {
            sum += share * photo.data[4 * (from + clip(column + first + k, photo.width)) + c];
          });
          narrow[i * resolution + j] = byte(sum);
        });
      }
      down.forEach(({ first, shares }, i) => {
        for (let j = 0; j < resolution; j++) {
          let sum = 0;
          shares.forEach((share, k) => { sum += share * narrow[(first + k) * resolution + j]; });
          result[(c * resolution + i) * resolution + j] = byte(sum);
        }
      });
    }
    return result;
  }

  function normalised(pixels, file) {
    const count = pixels.length / 3;
    return pixels.map((value, at) => {
      const c = Math.floor(at / count);
      return (value / 255 - file.mean[c]) / file.std[c];
    });
  }

  // Answers.

  function softmax(logits) {
    const most = Math.max(...logits);
    const powers = Array.from(logits, (value) => Math.exp(value - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  // Landmarks [x, y] in pixels of the crop by the decoder "soft", and how sure the network is of
  // them: the mean share of probability within two bins of the best.
  function landmarks(logits, bins) {
    const places = [], sure = [];
    for (let axis = 0; axis < logits.length / bins; axis++) {
      const shares = softmax(logits.subarray(axis * bins, (axis + 1) * bins));
      const best = shares.indexOf(Math.max(...shares));
      let mass = 0, place = 0;
      for (let at = Math.max(0, best - 2); at <= Math.min(bins - 1, best + 2); at++) {
        mass += shares[at];
        place += shares[at] * (at + 0.5);
      }
      places.push(place / mass);
      sure.push(mass);
    }
    const points = [];
    for (let at = 0; at < places.length; at += 2) points.push([places[at], places[at + 1]]);
    return { points, sure: sure.reduce((a, b) => a + b, 0) / sure.length };
  }

  return { network, allOn, crop, normalised, softmax, landmarks };
})();
