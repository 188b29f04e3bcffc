/**
 * The shape of a model, as `glc.config.CodecConfig` has it and its weights file says it.
 */

import { WeightsError } from "./errors.js";

export const IMAGE_STRIDE = 64;
export const LATENT_STRIDE = 16;
export const QUALITY_MAX = 100;
export const REALISM_MAX = 100;
export const DEFAULT_REALISM = 100;

/**
 * Which elements of y each coding step codes: STEP_CORNERS[step][quarter] is the corner of the 2x2
 * cell (0 upper left, 1 upper right, 2 lower left, 3 lower right) of this quarter of the channels.
 */
export const STEP_CORNERS = [[0, 3, 2, 1], [3, 0, 1, 2], [1, 2, 3, 0], [2, 1, 0, 3]];
export const STEPS = STEP_CORNERS.length;

const DEFAULTS = {
  architecture: 1,
  latent_channels: 64,
  codebook_size: 1024,
  y_channels: 96,
  hyper_channels: 96,
  hyper_levels: [4, 4, 4, 4, 4],
  encoder_width_4: 48,
  encoder_width_8: 96,
  encoder_width_16: 192,
  encoder_depth_4: 0,
  encoder_depth_8: 1,
  encoder_depth_16: 3,
  decoder_width_4: 64,
  decoder_width_8: 128,
  decoder_width_16: 256,
  decoder_depth_4: 2,
  decoder_depth_8: 2,
  decoder_depth_16: 4,
  realistic_width_4: 0,
  realistic_width_8: 0,
  realistic_width_16: 0,
  realistic_depth_4: 0,
  realistic_depth_8: 0,
  realistic_depth_16: 0,
  refine_channels: 8,
  transform_width: 192,
  transform_depth: 2,
  context_width: 128,
  context_depth: 1,
  scale_hidden: 32,
  quality_anchors: 6,
};

/**
 * Fields are named as in Python; `linear` says that the networks have a linear map beside them,
 * and D a realism; `two_decoders` that a decoder of its own shows realism 1.
 * @typedef {typeof DEFAULTS & {linear: boolean, two_decoders: boolean, rounding: number,
 *   hyper_size: number, features_channels: number}} Config
 */

/**
 * Return the configuration that a weights file holds.
 * @param {unknown} fields
 * @returns {Config}
 * @throws {WeightsError} a field is unknown, of the wrong type, or contradicts another.
 */
export function readConfig(fields) {
  if (typeof fields !== "object" || fields === null) throw malformed("no configuration");
  for (const [name, value] of Object.entries(fields)) {
    if (!(name in DEFAULTS)) throw malformed(`unknown configuration field ${name}`);
    const isList = name === "hyper_levels" && Array.isArray(value);
    for (const entry of isList ? value : [value]) {
      if (!Number.isInteger(entry) || entry < 0 || entry > 1 << 16) {
        throw malformed(`configuration field ${name} must be a small integer`);
      }
    }
  }
  const config = { ...DEFAULTS, .../** @type {typeof DEFAULTS} */ (fields) };
  check(config);
  const linear = config.architecture > 1;
  return {
    ...config,
    linear,
    two_decoders: config.architecture > 2,
    rounding: linear ? 0.6 : 0.5,
    hyper_size: config.hyper_levels.reduce((size, levels) => size * levels, 1),
    features_channels: config.hyper_channels + (linear ? config.hyper_levels.length : 0),
  };
}

/**
 * Return the shape of a model of architecture 1 whose D has the layers of the realistic decoder.
 * @param {Config} config of architecture 3. @returns {Config}
 */
export function realisticShape(config) {
  return {
    ...config,
    linear: false,
    decoder_width_4: config.realistic_width_4,
    decoder_width_8: config.realistic_width_8,
    decoder_width_16: config.realistic_width_16,
    decoder_depth_4: config.realistic_depth_4,
    decoder_depth_8: config.realistic_depth_8,
    decoder_depth_16: config.realistic_depth_16,
  };
}

/** @param {typeof DEFAULTS} config */
function check(config) {
  const { architecture } = config;
  if (architecture < 1 || architecture > 3) {
    throw malformed(`architecture must be 1, 2 or 3, got ${architecture}`);
  }
  for (const [name, value] of Object.entries(config)) {
    if (name === "hyper_levels" || name === "architecture") continue;
    if (name.startsWith("realistic_") && architecture < 3) {
      if (value) throw malformed(`${name} must be 0 with architecture ${architecture}`);
      continue;
    }
    const [least, most] = name.includes("depth") ? [0, 64] : [2, 1 << 16];
    if (Number(value) < least || Number(value) > most) {
      throw malformed(`${name} must be from ${least} to ${most}`);
    }
  }
  const levels = config.hyper_levels;
  if (architecture > 1 && config.latent_channels !== config.y_channels) {
    throw malformed(`latent_channels must be y_channels with architecture ${architecture}`);
  }
  if (config.y_channels % 4) throw malformed("y_channels must be a multiple of 4");
  if (QUALITY_MAX % (config.quality_anchors - 1)) {
    throw malformed(`quality_anchors - 1 must divide ${QUALITY_MAX}`);
  }
  if (levels.length < 1 || levels.length > 16 || Math.min(...levels) < 2) {
    throw malformed("hyper_levels must be 1 to 16 numbers of 2 or more");
  }
  if (levels.reduce((size, count) => size * count, 1) > 1 << 16) {
    throw malformed("hyper_levels give too many indices");
  }
}

/** @param {string} what @returns {WeightsError} */
function malformed(what) {
  return new WeightsError(`malformed weights: ${what}`);
}
