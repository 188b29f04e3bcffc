/**
 * Pictures of the browser's kinds as pixels: files, bitmaps, canvases.
 *
 * The browser decodes them, turns them upright and brings their colours to sRGB. Knows nothing of
 * .glc files.
 */

import { ImageError } from "./errors.js";

/** @typedef {import("./codec.js").Picture} Picture */

/**
 * Return the pixels of a picture.
 * @param {Blob | ImageData | ImageBitmap | OffscreenCanvas | Picture} source
 * @returns {Promise<Picture>} RGBA; `grey` where a PNG or JPEG file says so.
 * @throws {ImageError} the browser cannot read it.
 */
export async function pixelsOf(source) {
  if ("data" in source) return source;
  const grey = source instanceof Blob && isGrey(new Uint8Array(await source.arrayBuffer()));
  let bitmap;
  try {
    bitmap = await createImageBitmap(source, { premultiplyAlpha: "none" });
  } catch (error) {
    throw new ImageError("not a picture that this browser can read", { cause: error });
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: true });
  if (!context) throw new ImageError(`${width} x ${height} pixels are too many for this browser`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  try {
    return { width, height, data: context.getImageData(0, 0, width, height).data, grey };
  } catch (error) {
    const what = `${width} x ${height} pixels are too many for this browser`;
    throw new ImageError(what, { cause: error });
  }
}

/**
 * Say whether a PNG or JPEG file holds grey values only, by its header.
 * @param {Uint8Array} file
 * @returns {boolean}
 */
export function isGrey(file) {
  const word = (/** @type {number} */ at) => file[at] * 256 + file[at + 1];
  // Colour types 0 and 4 of PNG.
  if (word(0) === 0x8950 && word(2) === 0x4e47) return file[25] === 0 || file[25] === 4;
  if (word(0) !== 0xffd8) return false;
  for (let at = 2; at + 9 < file.length && file[at] === 0xff; at += 2 + word(at + 2)) {
    const marker = file[at + 1];
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return file[at + 9] === 1;
  }
  return false;
}
