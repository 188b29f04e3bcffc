/**
 * Planes of numbers, (C, h, w) in one typed array, and windows of them.
 */

/**
 * @template {Float32Array | Int16Array | Int32Array} T
 * @typedef {{data: T, channels: number, height: number, width: number}} Planes
 */

/**
 * @param {number} channels @param {number} height @param {number} width
 * @returns {Planes<Float32Array>} zeros.
 */
export function zeros(channels, height, width) {
  return { data: new Float32Array(channels * height * width), channels, height, width };
}

/**
 * Return a window of planes; the planes themselves if it is all of them.
 * @template {Float32Array | Int16Array | Int32Array} T
 * @param {Planes<T>} planes
 * @param {import("./tiles.js").Window} window in elements.
 * @returns {Planes<T>}
 */
export function view(planes, window) {
  const { channels, height, width } = planes;
  if (window.height === height && window.width === width) return planes;
  const kind = /** @type {new (size: number) => T} */ (planes.data.constructor);
  const data = new kind(channels * window.height * window.width);
  const found = { data, channels, height: window.height, width: window.width };
  copy(found, 0, 0, planes, window);
  return found;
}

/**
 * Write a window of some planes into a place of others.
 * @template {Float32Array | Int16Array | Int32Array} T
 * @param {Planes<T>} target
 * @param {number} top @param {number} left of the place.
 * @param {Planes<T>} source
 * @param {import("./tiles.js").Window} window of the source.
 */
export function copy(target, top, left, source, window) {
  for (let channel = 0; channel < source.channels; channel++) {
    for (let row = 0; row < window.height; row++) {
      const from = (channel * source.height + window.top + row) * source.width + window.left;
      const to = (channel * target.height + top + row) * target.width + left;
      target.data.set(source.data.subarray(from, from + window.width), to);
    }
  }
}
