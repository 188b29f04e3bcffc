/**
 * All networks of one weights file, run by ONNX Runtime: `glc.runtime.graphs.model` for one picture.
 *
 * Each network becomes a session when it is first needed, so that decoding never builds E.
 */

import { QUALITY_MAX } from "./config.js";
import { graphsOf } from "./networks.js";
import { ScaleMap } from "./scale_map.js";
import { floats } from "./weights.js";

/**
 * @typedef {import("./arrays.js").Planes<Float32Array>} Planes
 * @typedef {import("./weights.js").Weights} Weights
 * @typedef {any} Runtime the module of onnxruntime-web.
 */

const SPREAD = Math.fround(1.05);

/** Takes and gives (C, h, w) at 1/16 of the picture's resolution unless said otherwise. */
export class Model {
  /** @param {Weights} weights without the tables @param {Runtime} runtime @throws {WeightsError} */
  constructor(weights, runtime) {
    this.config = weights.config;
    this.scaleMap = new ScaleMap(weights);
    const { config } = this;
    this.runtime = runtime;
    this.graphs = graphsOf(weights);
    /** @type {Map<string, Promise<any>>} */
    this.sessions = new Map();
    /** @type {Map<string, {data: Float32Array, channels: number}>} */
    this.logGains = new Map();
    const [width, y] = [config.transform_width, config.y_channels];
    /** @type {[string, number][]} */
    const gains = [
      ["analysis.gain_inner", width], ["analysis.gain", y],
      ["hyper_synthesis.gain", config.hyper_channels],
      ["synthesis.gain", y], ["synthesis.gain_inner", width],
    ];
    if (config.linear) {
      gains.push(["hyper_analysis.gain", y]);
      gains.push(["hyper_synthesis.low_pass_gain", config.hyper_levels.length]);
    }
    for (const [name, channels] of gains) {
      const data = floats(weights.take(`${name}.log_gain`, config.quality_anchors, channels));
      this.logGains.set(name, { data, channels });
    }
  }

  /**
   * E above 1/16.
   * @param {Uint8Array} cells (48, 4h, 4w): colours, rows and columns of 4 x 4 pixels as channels.
   * @param {number} height in cells @param {number} width in cells
   * @returns {Promise<Planes>} features.
   */
  async encodeFine(cells, height, width) {
    const x = new this.runtime.Tensor("uint8", cells, [1, 48, height, width]);
    return planesOf((await this.#run("E", { x })).features);
  }

  /** The rest of E. @param {Planes} features @returns {Promise<Planes>} l. */
  async encodeCoarse(features) {
    return planesOf((await this.#run("E 16", { features: this.#tensor(features) })).l);
  }

  /** g_a. @param {Planes} l @param {number} quality @returns {Promise<Planes>} y. */
  async analysis(l, quality) {
    const given = {
      l: this.#tensor(l),
      gain_inner: this.#gain("analysis.gain_inner", quality),
      gain: this.#gain("analysis.gain", quality),
    };
    return planesOf((await this.#run("g_a", given)).y);
  }

  /**
   * h_a: y -> indices of z.
   * @param {Planes} y @param {number} quality
   * @returns {Promise<{data: Int32Array, channels: number, height: number, width: number}>}
   */
  async hyperAnalysis(y, quality) {
    /** @type {Record<string, any>} */
    const given = { y: this.#tensor(y) };
    if (this.config.linear) given.gain = this.#gain("hyper_analysis.gain", quality);
    const { data: z, height, width } = planesOf((await this.#run("h_a", given)).z);
    const area = height * width;
    const data = new Int32Array(area);
    let factor = 1;
    this.config.hyper_levels.forEach((levels, digit) => {
      const middle = levels / 2 - 0.5;
      for (let at = 0; at < area; at++) {
        const bounded = Math.fround(Math.tanh(z[digit * area + at]));
        const spread = Math.fround(Math.fround(bounded * middle) * SPREAD);
        const level = roundHalfEven(Math.fround(spread + middle));
        data[at] += factor * Math.max(0, Math.min(levels - 1, level));
      }
      factor *= levels;
    });
    return { data, channels: 1, height, width };
  }

  /** @param {Int32Array} indices of z. @returns {Float32Array} (D, h, w) digits, exact. */
  digitsOf(indices) {
    const { hyper_levels: levels } = this.config;
    const digits = new Float32Array(levels.length * indices.length);
    let factor = 1;
    levels.forEach((count, digit) => {
      for (let at = 0; at < indices.length; at++) {
        const level = Math.floor(indices[at] / factor) % count;
        digits[digit * indices.length + at] = 2 * level - (count - 1);
      }
      factor *= count;
    });
    return digits;
  }

  /**
   * h_s: indices of z, at 1/64 -> features of the context model.
   * @param {{data: Int32Array, height: number, width: number}} indices @param {number} quality
   * @returns {Promise<Planes>}
   */
  async hyperSynthesis({ data, height, width }, quality) {
    const digits = this.digitsOf(data);
    const shape = [1, this.config.hyper_levels.length, height, width];
    /** @type {Record<string, any>} */
    const given = {
      digits: new this.runtime.Tensor("float32", digits, shape),
      gain: this.#gain("hyper_synthesis.gain", quality),
    };
    if (this.config.linear) {
      given.low_pass_gain = this.#gain("hyper_synthesis.low_pass_gain", quality);
    }
    return planesOf((await this.#run("h_s", given)).features);
  }

  /**
   * The context model: y_hat, 0 where not known yet, and features.
   * @param {number} step @param {Planes} yHat @param {Planes} features
   * @returns {Promise<{mean: Planes, quantStep: Planes}>}
   */
  async context(step, yHat, features) {
    /** @type {Record<string, any>} */
    const given = { features: this.#tensor(features) };
    if (step) given.y_hat = this.#tensor(yHat);
    const found = await this.#run(`context ${step}`, given);
    return { mean: planesOf(found.mean), quantStep: planesOf(found.quant_step) };
  }

  /** g_s. @param {Planes} yHat @param {number} quality @returns {Promise<Planes>} l_hat. */
  async synthesis(yHat, quality) {
    const given = {
      y_hat: this.#tensor(yHat),
      gain: this.#gain("synthesis.gain", quality),
      gain_inner: this.#gain("synthesis.gain_inner", quality),
    };
    return planesOf((await this.#run("g_s", given)).l_hat);
  }

  /** D at 1/16. @param {Planes} lHat @param {number} realism 0 to 1 @returns {Promise<Planes>} */
  async decodeCoarse(lHat, realism) {
    const { two_decoders: two } = this.config;
    const given = { l_hat: this.#tensor(lHat) };
    const parts = [];
    if (!two || realism < 1) {
      const shown = this.#realism(two ? 0 : realism);
      parts.push(planesOf((await this.#run("D 16", { ...given, ...shown })).features));
    }
    if (two && realism > 0) parts.push(planesOf((await this.#run("R 16", given)).features));
    return joined(parts);
  }

  /**
   * The rest of D.
   * @param {Planes} features @param {number} realism 0 to 1
   * @returns {Promise<Uint8Array>} (16h, 16w, 3).
   */
  async decodeFine(features, realism) {
    const { config } = this;
    if (!config.two_decoders) return this.#faithful(features, realism);
    if (realism <= 0) return this.#faithful(features, 0);
    if (realism >= 1) return this.#realistic(features);
    const first = config.decoder_width_16 + config.latent_channels;
    const faithful = await this.#faithful(channelsOf(features, 0, first), 0);
    const rest = channelsOf(features, first, features.channels);
    return mix(faithful, await this.#realistic(rest), realism);
  }

  /** @param {Planes} features @param {number} realism @returns {Promise<Uint8Array>} */
  async #faithful(features, realism) {
    const given = { features: this.#tensor(features), ...this.#realism(realism) };
    return (await this.#run("D", given)).pixels.data;
  }

  /** @param {Planes} features @returns {Promise<Uint8Array>} */
  async #realistic(features) {
    return (await this.#run("R", { features: this.#tensor(features) })).pixels.data;
  }

  /** @param {number} realism */
  #realism(realism) {
    if (!this.config.linear) return {};
    return { realism: new this.runtime.Tensor("float32", Float32Array.of(realism), [1]) };
  }

  /** Interpolate a gain in the log. @param {string} name @param {number} quality */
  #gain(name, quality) {
    const { data, channels } = /** @type {{data: Float32Array, channels: number}} */ (
      this.logGains.get(name)
    );
    const spans = data.length / channels - 1;
    const position = quality * (spans / QUALITY_MAX);
    const lower = Math.min(Math.floor(position), spans - 1);
    const fraction = Math.fround(position - lower);
    const rest = Math.fround(1 - fraction);
    const gain = new Float32Array(channels);
    for (let channel = 0; channel < channels; channel++) {
      const at = lower * channels + channel;
      const below = Math.fround(data[at] * rest);
      gain[channel] = Math.exp(Math.fround(below + Math.fround(data[at + channels] * fraction)));
    }
    return new this.runtime.Tensor("float32", gain, [1, channels, 1, 1]);
  }

  /** @param {Planes} planes */
  #tensor({ data, channels, height, width }) {
    return new this.runtime.Tensor("float32", data, [1, channels, height, width]);
  }

  /** @param {string} name @param {Record<string, any>} inputs @returns {Promise<any>} */
  async #run(name, inputs) {
    let session = this.sessions.get(name);
    if (!session) {
      session = this.#open(name);
      this.sessions.set(name, session);
    }
    return (await session).run(inputs);
  }

  /** @param {string} name @returns {Promise<any>} */
  async #open(name) {
    const graph = /** @type {import("./graph.js").Graph} */ (this.graphs.get(name)).toBytes();
    // Its constants are in the session now.
    this.graphs.delete(name);
    return this.runtime.InferenceSession.create(graph, {
      executionProviders: ["wasm"], enableMemPattern: false, logSeverityLevel: 4,
    });
  }
}

/** @param {any} tensor (1, C, h, w) @returns {Planes} */
function planesOf({ data, dims }) {
  return { data, channels: dims[1], height: dims[2], width: dims[3] };
}

/** @param {Planes[]} parts of one size. @returns {Planes} their channels, one after the other. */
function joined(parts) {
  const [{ height, width }] = parts;
  if (parts.length === 1) return parts[0];
  const channels = parts.reduce((sum, part) => sum + part.channels, 0);
  const data = new Float32Array(channels * height * width);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { data, channels, height, width };
}

/** @param {Planes} planes @param {number} start @param {number} stop @returns {Planes} */
function channelsOf({ data, height, width }, start, stop) {
  const area = height * width;
  return { data: data.subarray(start * area, stop * area), channels: stop - start, height, width };
}

/**
 * Mix 8-bit pixels as `glc.runtime.mixture` does: in float32, halves to even.
 * @param {Uint8Array} faithful @param {Uint8Array} realistic @param {number} realism 0 to 1
 * @returns {Uint8Array}
 */
export function mix(faithful, realistic, realism) {
  const share = Math.fround(realism);
  const rest = Math.fround(1 - share);
  return faithful.map((level, at) => {
    const ours = Math.fround(rest * level);
    return roundHalfEven(Math.fround(ours + Math.fround(share * realistic[at])));
  });
}

/** @param {number} value @returns {number} */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const part = value - floor;
  if (part !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}
