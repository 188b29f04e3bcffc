/**
 * Small means to make and fill elements; no markup is ever read from a string.
 */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties] of the element; `class` and names with a dash are
 *   attributes.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) made.setAttribute(name, value);
    else /** @type {any} */ (made)[name] = value;
  }
  made.append(...children);
  return made;
}

/** @param {string} id @returns {any} the element. */
export function byId(id) {
  return document.getElementById(id);
}

/** Offer a file for download. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {number} count @returns {string} with marks between thousands. */
export function grouped(count) {
  return count.toLocaleString("en");
}

/** @param {number} count @returns {string} "1,480 bytes", "35 kB", "2.1 MB". */
export function sizeText(count) {
  if (count < 10_000) return `${grouped(count)} bytes`;
  if (count < 1_000_000) return `${Math.round(count / 1000)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** @param {ImageData | ImageBitmap | HTMLCanvasElement} picture @returns {HTMLCanvasElement} */
export function canvasOf(picture) {
  const { width, height } = picture;
  const canvas = element("canvas", { width, height });
  const context = contextOf(canvas);
  if (picture instanceof ImageData) context.putImageData(picture, 0, 0);
  else context.drawImage(picture, 0, 0);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @returns {CanvasRenderingContext2D} */
export function contextOf(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("the picture is too large for this browser");
  return context;
}

/**
 * @param {HTMLCanvasElement} canvas @param {string} type @param {number} [quality] 0 to 1
 * @returns {Promise<Blob>}
 */
export function blobOf(canvas, type, quality) {
  return new Promise((resolve, reject) => canvas.toBlob(
    (blob) => (blob ? resolve(blob) : reject(new Error(`this browser makes no ${type}`))),
    type, quality,
  ));
}
