/**
 * The blocks of the networks as pieces of a graph: `glc.runtime.graphs.layers`, node for node.
 *
 * Sums and quotients of constants are rounded to float32 as numpy rounds them, so that the graphs
 * have the same bytes.
 */

import { floats, reshape, tensorOf } from "./weights.js";

/** @typedef {import("./weights.js").Tensor} Tensor */

/** Adds layers to a graph; `name` is a prefix of tensor names, values are (B, C, h, w). */
export class Layers {
  /** @param {import("./graph.js").Graph} graph @param {import("./weights.js").Weights} weights */
  constructor(graph, weights) {
    this.graph = graph;
    this.weights = weights;
  }

  /**
   * Convolve with zero padding, keeping height and width.
   * @param {string} x @param {string} name @param {number} entering @param {number} leaving
   * @param {number} [size]
   */
  conv(x, name, entering, leaving, size = 1) {
    const weight = this.weights.take(`${name}.weight`, leaving, entering, size, size);
    const bias = this.weights.take(`${name}.bias`, leaving);
    return this.#conv(x, weight, bias, { padding: size >> 1 });
  }

  /**
   * A 1x1 convolution to 2 `leaving` channels as two.
   * @param {string} x @param {string} name @param {number} entering @param {number} leaving
   * @returns {[string, string]}
   */
  halves(x, name, entering, leaving) {
    const weight = this.weights.take(`${name}.weight`, 2 * leaving, entering, 1, 1);
    const bias = this.weights.take(`${name}.bias`, 2 * leaving);
    const first = this.#conv(x, rows(weight, 0, leaving), rows(bias, 0, leaving));
    const second = [rows(weight, leaving, 2 * leaving), rows(bias, leaving, 2 * leaving)];
    return [first, this.#conv(x, second[0], second[1])];
  }

  /** Take some of the channels. @param {string} x @param {number} start @param {number} stop */
  channels(x, start, stop) {
    const limits = [start, stop, 1].map((limit) => this.graph.integers([limit]));
    return this.graph.node("Slice", [x, ...limits]);
  }

  /**
   * The lapped transform, as one convolution of stride 4 on cells of 4 x 4 pixels.
   * @param {string} cells @param {string} name @param {number} channels
   */
  linearAnalysis(cells, name, channels) {
    const weight = floats(this.weights.take(`${name}.conv.weight`, channels, 768, 3, 3));
    const bias = this.weights.take(`${name}.conv.bias`, channels);
    const kernels = new Float32Array(weight.length);
    // (C 48, 4, 4, 3, 3) -> (C 48, 3, 4, 3, 4)
    for (let plane = 0; plane < channels * 48; plane++) {
      for (let at = 0; at < 144; at++) {
        const [i, j] = [Math.floor(at / 36), Math.floor(at / 9) % 4];
        const [r, s] = [Math.floor(at / 3) % 3, at % 3];
        kernels[plane * 144 + (r * 4 + i) * 12 + s * 4 + j] = weight[plane * 144 + at];
      }
    }
    const padded = this.#repeatBorder(cells, 4);
    return this.#conv(padded, tensorOf([channels, 48, 12, 12], kernels), bias, { stride: 4 });
  }

  /** The inverse of it. @param {string} l @param {string} name @param {number} channels */
  linearSynthesis(l, name, channels) {
    const weight = this.weights.take(`${name}.conv.weight`, 768, channels, 3, 3);
    const bias = this.weights.take(`${name}.conv.bias`, 768);
    return this.shuffle(this.#conv(this.#repeatBorder(l, 1), weight, bias), 16);
  }

  /** The mean colours that areas shall have. @param {string} l @param {string} name @param {number} channels */
  means(l, name, channels) {
    const weight = this.weights.take(`${name}.weight`, 3, channels, 3, 3);
    const bias = this.weights.take(`${name}.bias`, 3);
    return this.#conv(this.#repeatBorder(l, 1), weight, bias);
  }

  /** Shift a picture towards mean colours. @param {string} x @param {string} means @param {string} name */
  withMeans(x, means, name) {
    const pool = { kernel_shape: [16, 16], strides: [16, 16] };
    const own = this.graph.node("AveragePool", [x], pool);
    const missing = this.graph.node("Sub", [means, own]);
    return this.graph.node("Add", [x, this.linearSynthesis(missing, name, 3)]);
  }

  /** @param {string} x @param {number} positions */
  #repeatBorder(x, positions) {
    const pads = [0, 0, positions, positions];
    return this.graph.node("Pad", [x, this.graph.integers([...pads, ...pads])], { mode: "edge" });
  }

  /** A factor per channel, ready to multiply by. @param {string} name @param {number} channels */
  scale(name, channels) {
    return this.graph.constant(reshape(this.weights.take(name, channels), [1, channels, 1, 1]));
  }

  /**
   * The gains of `depth` blocks for a realism.
   * @param {string} name @param {number} channels @param {number} depth @param {string} realism
   * @returns {string[]}
   */
  realismGains(name, channels, depth, realism) {
    return Array.from({ length: depth }, (_, index) => {
      const anchors = floats(this.weights.take(`${name}.${index}.anchors`, 2, channels));
      const faithful = anchors.slice(0, channels);
      const change = faithful.map((value, at) => anchors[channels + at] - value);
      const shape = [1, channels, 1, 1];
      const first = this.graph.constant(tensorOf(shape, faithful));
      const second = this.graph.constant(tensorOf(shape, change));
      return this.graph.node("Add", [first, this.graph.node("Mul", [realism, second])]);
    });
  }

  /** @param {string} x @param {string} name @param {number} channels @param {string} [gain] */
  depthwiseBlock(x, name, channels, gain) {
    const weight = this.weights.take(`${name}.spatial.weight`, channels, 1, 3, 3);
    const bias = this.weights.take(`${name}.spatial.bias`, channels);
    const spatial = this.#conv(x, weight, bias, { padding: 1, groups: channels });
    const [value, gate] = this.halves(spatial, `${name}.expand`, channels, channels);
    const gated = this.#times(this.graph.node("Mul", [value, this.silu(gate)]), gain);
    return this.graph.node("Add", [x, this.conv(gated, `${name}.project`, channels, channels)]);
  }

  /** @param {string} x @param {string} [gain] */
  #times(x, gain) {
    return gain === undefined ? x : this.graph.node("Mul", [x, gain]);
  }

  /**
   * @param {string} x @param {string} name @param {number} channels @param {number} depth
   * @param {string[]} [gains] @param {number} [bound] on what each block hands on
   */
  depthwiseBlocks(x, name, channels, depth, gains = [], bound = undefined) {
    for (let index = 0; index < depth; index++) {
      x = this.depthwiseBlock(x, `${name}.${index}`, channels, gains[index]);
      if (bound !== undefined) x = this.limited(x, bound);
    }
    return x;
  }

  /**
   * Cut values beyond the bound, on either side.
   * @param {string} x @param {number} bound
   */
  limited(x, bound) {
    return this.graph.node("Clip", [x, this.graph.scalar(-bound), this.graph.scalar(bound)]);
  }

  /**
   * @param {string} x @param {string} name @param {number} channels @param {number} depth
   * @param {string[]} [gains]
   */
  plainBlocks(x, name, channels, depth, gains = []) {
    const half = channels >> 1;
    for (let index = 0; index < depth; index++) {
      const reduced = this.conv(x, `${name}.${index}.reduce`, channels, half, 3);
      const active = this.#times(this.silu(reduced), gains[index]);
      const changed = this.conv(active, `${name}.${index}.project`, half, channels, 3);
      x = this.graph.node("Add", [x, changed]);
    }
    return x;
  }

  /**
   * One 2x2 convolution of stride 2, the mean of the shortcut included.
   * @param {string} x @param {string} name @param {number} entering @param {number} leaving
   */
  downsample(x, name, entering, leaving) {
    let weight = this.weights.take(`${name}.mix.weight`, leaving, 4 * entering, 1, 1);
    const bias = this.weights.take(`${name}.mix.bias`, leaving);
    if ((4 * entering) % leaving === 0) {
      const group = (4 * entering) / leaving;
      // Adding 0 where there is no shortcut makes 0 of -0, as in numpy.
      const sum = floats(weight).map((value) => value + 0);
      const share = Math.fround(1 / group);
      for (let row = 0; row < leaving; row++) {
        const start = row * 4 * entering + row * group;
        for (let at = start; at < start + group; at++) sum[at] += share;
      }
      weight = tensorOf(weight.shape, sum);
    }
    return this.#conv(x, reshape(weight, [leaving, entering, 2, 2]), bias, { stride: 2 });
  }

  /**
   * A 1x1 convolution and a pixel shuffle, the shortcut's means and repetitions included.
   * @param {string} x @param {string} name @param {number} entering @param {number} leaving
   */
  upsample(x, name, entering, leaving) {
    let weight = this.weights.take(`${name}.mix.weight`, 4 * leaving, entering, 1, 1);
    const bias = this.weights.take(`${name}.mix.bias`, 4 * leaving);
    if (entering % leaving === 0) {
      const group = entering / leaving;
      // Adding 0 where there is no shortcut makes 0 of -0, as in numpy.
      const sum = floats(weight).map((value) => value + 0);
      const share = Math.fround(1 / group);
      for (let row = 0; row < 4 * leaving; row++) {
        const start = (row >> 2) * group;
        for (let at = start; at < start + group; at++) sum[row * entering + at] += share;
      }
      weight = tensorOf(weight.shape, sum);
    }
    return this.shuffle(this.#conv(x, weight, bias), 2);
  }

  /**
   * (B, C factor^2, h, w) -> (B, C, h factor, w factor).
   * @param {string} x @param {number} factor
   */
  shuffle(x, factor) {
    return this.graph.node("DepthToSpace", [x], { blocksize: factor, mode: "CRD" });
  }

  /** @param {string} x */
  silu(x) {
    return this.graph.node("Mul", [x, this.graph.node("Sigmoid", [x])]);
  }

  /**
   * @param {string} x @param {Tensor} weight @param {Tensor} bias
   * @param {{padding?: number, stride?: number, groups?: number}} [how]
   */
  #conv(x, weight, bias, { padding = 0, stride = 1, groups = 1 } = {}) {
    const constants = [this.graph.constant(weight), this.graph.constant(bias)];
    return this.graph.node("Conv", [x, ...constants], {
      kernel_shape: weight.shape.slice(2),
      pads: [padding, padding, padding, padding],
      strides: [stride, stride],
      group: groups,
    });
  }
}

/** @param {Tensor} tensor @param {number} start @param {number} stop @returns {Tensor} */
function rows(tensor, start, stop) {
  const [count, ...rest] = tensor.shape;
  const size = tensor.data.length / count;
  const data = /** @type {Float32Array} */ (tensor.data).subarray(start * size, stop * size);
  return { ...tensor, shape: [stop - start, ...rest], data };
}
