/**
 * Where a large picture is cut into tiles, and how far beyond a cut each network looks.
 *
 * As `glc.tiling.geometry`; everything is in pixels of the padded picture.
 */

import { IMAGE_STRIDE, LATENT_STRIDE } from "./config.js";

/** Pictures with no more pixels than this stay whole: a browser has less memory than a machine. */
export const UNCUT_PIXELS = 2048 * 1152;
/** Larger pictures are cut into tiles of at most this many pixels. */
export const TILE_PIXELS = 1024 * 1024;
/** At 1/16 of the resolution a pixel takes far less memory. */
export const BROAD_PIXELS = 4 * TILE_PIXELS;

/** A rectangle of the padded picture. */
export class Window {
  /** @param {number} top @param {number} left @param {number} bottom @param {number} right */
  constructor(top, left, bottom, right) {
    this.top = top;
    this.left = left;
    this.bottom = bottom;
    this.right = right;
  }

  get height() {
    return this.bottom - this.top;
  }

  get width() {
    return this.right - this.left;
  }

  /**
   * Return the window with its surroundings.
   * @param {number} reach pixels that are needed beyond each side.
   * @param {number} grid the sides move by a multiple of it.
   * @param {Window} limit nothing beyond it is there.
   */
  grown(reach, grid, limit) {
    const margin = roundUp(reach, grid);
    return new Window(
      Math.max(this.top - margin, limit.top), Math.max(this.left - margin, limit.left),
      Math.min(this.bottom + margin, limit.bottom), Math.min(this.right + margin, limit.right),
    );
  }

  /**
   * Return the window with its sides on the border of `inner` moved to those of `outer`.
   * @param {Window} inner @param {Window} outer
   */
  stretched(inner, outer) {
    return new Window(
      this.top === inner.top ? outer.top : this.top,
      this.left === inner.left ? outer.left : this.left,
      this.bottom === inner.bottom ? outer.bottom : this.bottom,
      this.right === inner.right ? outer.right : this.right,
    );
  }

  /** @param {Window} outer @returns {Window} this one in the coordinates of one that holds it. */
  inside(outer) {
    return new Window(
      this.top - outer.top, this.left - outer.left,
      this.bottom - outer.top, this.right - outer.left,
    );
  }

  /** @param {number} stride @returns {Window} in elements of so many pixels. */
  at(stride) {
    return new Window(
      this.top / stride, this.left / stride, this.bottom / stride, this.right / stride,
    );
  }
}

/** @param {number} height @param {number} width @returns {Window} the padded picture. */
export function padded(height, width) {
  return new Window(0, 0, roundUp(height, IMAGE_STRIDE), roundUp(width, IMAGE_STRIDE));
}

/**
 * Cut a window into tiles of nearly equal size with the shortest cuts.
 * @param {Window} whole
 * @param {number} pixels that a tile may have.
 * @returns {Window[]} row by row.
 */
export function cut(whole, pixels) {
  const rows = whole.height / IMAGE_STRIDE;
  const columns = whole.width / IMAGE_STRIDE;
  const area = Math.max(1, Math.floor(pixels / IMAGE_STRIDE ** 2));
  let best = { length: Infinity, down: 1, across: 1 };
  for (let across = 1; across <= columns; across++) {
    const wide = Math.ceil(columns / across);
    if (wide > area) continue;
    const down = Math.ceil(rows / Math.max(1, Math.floor(area / wide)));
    const length = (across - 1) * rows + (down - 1) * columns;
    if (length < best.length) best = { length, down, across };
  }
  const tops = edges(rows, best.down);
  const lefts = edges(columns, best.across);
  return tops.slice(0, -1).flatMap((top, y) => lefts.slice(0, -1).map((left, x) => new Window(
    whole.top + top, whole.left + left, whole.top + tops[y + 1], whole.left + lefts[x + 1],
  )));
}

/** @param {number} count @param {number} pieces @returns {number[]} */
function edges(count, pieces) {
  return Array.from({ length: pieces + 1 }, (_, n) =>
    IMAGE_STRIDE * Math.floor((count * n) / pieces));
}

/**
 * Return how many pixels beyond its own each output of a network depends on.
 * @param {import("./config.js").Config} config
 */
export function reachOf(config) {
  const transform = 1 + config.transform_depth;
  const lapped = config.linear ? LATENT_STRIDE : 0;
  return {
    encoderFine: Math.max(
      lapped, reach([8, 2 * config.encoder_depth_8], [4, 2 * config.encoder_depth_4 + 1]),
    ),
    encoderCoarse: reach([16, config.encoder_depth_16]),
    analysis: reach([16, transform]),
    hyperAnalysis: reach([64, 1], [32, 1], [16, 1]),
    hyperSynthesis: reach([16, 1], [32, 1], [64, 2]),
    context: reach([16, 1 + config.context_depth]),
    // Depths of a second decoder that is not there are 0.
    decoderCoarse: reach(
      [16, transform + 1 + Math.max(config.decoder_depth_16, config.realistic_depth_16)],
    ),
    decoderFine: Math.max(
      config.linear ? reach([1, 3], [16, 1]) : 0,
      renderer(config.decoder_depth_4, config.decoder_depth_8),
      renderer(config.realistic_depth_4, config.realistic_depth_8, config.two_decoders),
    ),
  };
}

/**
 * The layers of a decoder above 1/16, and the areas whose mean colours it shifts.
 * @param {number} depth4 @param {number} depth8 @param {boolean} [hasMeans]
 */
function renderer(depth4, depth8, hasMeans = false) {
  /** @type {[number, number][]} */
  const areas = hasMeans ? [[16, 1]] : [];
  return reach(...areas, [1, 3], [4, 1 + 2 * depth4], [8, 2 * depth8], [16, 0]);
}

/**
 * Add up layers from output to input: pixels per position, positions seen to each side.
 * @param {...[number, number]} layers
 */
function reach(...layers) {
  return layers.reduce(
    (sum, [stride, positions]) => roundUp(sum, stride) + stride * positions, 0,
  );
}

/** @param {number} value @param {number} grid */
export function roundUp(value, grid) {
  return Math.ceil(value / grid) * grid;
}
