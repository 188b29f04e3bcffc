/**
 * One file on the page: its picture, what is known of it, and what can be done with it.
 */

import { ImageError, info } from "../glc.js";
import { blobOf, canvasOf, download, element, grouped, sizeText } from "./dom.js";
import { rivalOf } from "./rivals.js";

const KINDS = [
  { key: "glc", label: "GLC" },
  { key: "jpeg", label: "JPEG", type: "image/jpeg" },
  { key: "webp", label: "WebP", type: "image/webp" },
];
const STEP_KEYS = 5;
const FAITHFUL = 0;
const REALISTIC = 100;

let cards = 0;

/**
 * What a card is given of the page.
 * @typedef {object} Context
 * @property {import("./models.js").Models} models
 * @property {() => import("./models.js").Entry | undefined} chosen the model for photos, if one is
 *   named; else the quality says which.
 * @property {() => number} quality where a photo begins.
 * @property {(entry: import("./models.js").Entry) => Promise<import("../glc.js").Codec>} open
 * @property {(work: () => Promise<void>) => Promise<void>} inTurn wait for the others, then work.
 * @property {(text: string) => void} say to everybody.
 */

/** A file that was dropped or chosen. */
export class Card {
  /** @param {File} file @param {Context} context */
  constructor(file, context) {
    this.file = file;
    this.context = context;
    this.id = `card-${++cards}`;
    this.stem = file.name.replace(/\.[^.]*$/, "") || "picture";
    this.heading = element("h2", { id: this.id, textContent: file.name });
    this.message = element("p", { class: "message", textContent: "Waiting" });
    this.bar = element("progress", { max: 1, value: 0, "aria-label": `Work on ${file.name}` });
    this.body = element("div", { class: "body" });
    const remove = element("button", {
      type: "button", class: "remove", textContent: "Remove", "aria-label": `Remove ${file.name}`,
    });
    remove.addEventListener("click", () => this.root.remove());
    this.root = element("article", { class: "card", "aria-labelledby": this.id },
      element("div", { class: "head" }, this.heading, remove), this.message, this.bar, this.body);
    /** @type {Record<string, {canvas: HTMLCanvasElement, text: string}>} */
    this.shown = {};
    this.kind = "glc";
    /** @type {Uint8Array} */
    this.coded = new Uint8Array(0);
    this.realism = REALISTIC;
    /** @type {Promise<void> | undefined} */
    this.busy = undefined;
  }

  /** Do what the file is for; never throws. */
  async run() {
    if (!this.root.isConnected) return;
    try {
      const isGlc = /\.glc$/i.test(this.file.name) || (await startsLikeGlc(this.file));
      await (isGlc ? this.#open() : this.#compress());
    } catch (error) {
      this.#failed(/** @type {Error} */ (error));
    }
  }

  /** Show a .glc file. */
  async #open() {
    this.coded = new Uint8Array(await this.file.arrayBuffer());
    const entry = this.context.models.find(info(this.coded).model);
    const codec = await this.context.open(entry);
    const image = await this.#decode(codec);
    const canvas = canvasOf(image);
    this.#describe(canvas);
    const figure = element("figure", { class: "picture" }, canvas);
    this.body.append(
      figure, this.#facts(entry.name), this.#controls(codec, false),
    );
    this.redraw = (/** @type {ImageData} */ picture) => {
      const fresh = canvasOf(picture);
      this.#describe(fresh);
      figure.replaceChildren(fresh);
      this.shown.glc.canvas = fresh;
    };
    this.shown.glc = { canvas, text: "" };
  }

  /** Show a photo and what becomes of it. */
  async #compress() {
    this.#say("Reading");
    let bitmap;
    try {
      bitmap = await createImageBitmap(this.file);
    } catch (error) {
      throw new ImageError("not a picture that this browser can read", { cause: error });
    }
    this.original = canvasOf(bitmap);
    bitmap.close();
    this.chosen = this.context.chosen();
    const codec = await this.#code(this.context.quality());
    this.body.append(this.#comparison(), this.#rows(), this.#controls(codec, true));
    this.#show("glc");
  }

  /** @param {number} quality @returns {Promise<import("../glc.js").Codec>} what made the file. */
  async #code(quality) {
    const entry = this.chosen ?? this.context.models.forQuality(quality);
    const codec = await this.context.open(entry);
    this.quality = quality;
    this.#say("Encoding");
    this.coded = await codec.encode(this.file, quality, { progress: this.#progress(0, 0.5) });
    const image = await this.#decode(codec, 0.5);
    [this.root.dataset.quality, this.root.dataset.model] = [String(quality), codec.name];
    this.shown = { glc: { canvas: canvasOf(image), text: this.#sizeOf(this.coded.length) } };
    this.#say("Making a JPEG and a WebP of as many bytes");
    for (const { key, type } of KINDS) {
      if (!type) continue;
      const original = /** @type {HTMLCanvasElement} */ (this.original);
      const rival = await rivalOf(original, type, this.coded.length);
      if (!rival) continue;
      const scale = rival.scale > 1 ? `, at 1/${rival.scale} of the size` : "";
      const text = `${this.#sizeOf(rival.size)}, quality ${rival.quality}${scale}`;
      this.shown[key] = { canvas: rival.canvas, text };
    }
    this.#done();
    return codec;
  }

  /** @param {import("../glc.js").Codec} codec @param {number} [start] of the progress */
  async #decode(codec, start = 0) {
    this.#say("Decoding");
    const progress = this.#progress(start, 1);
    const options = codec.takesRealism ? { realism: this.realism, progress } : { progress };
    const image = await codec.decode(this.coded, options);
    this.#done();
    return image;
  }

  /** The original and one of the others, with a line between them that can be moved. */
  #comparison() {
    const original = /** @type {HTMLCanvasElement} */ (this.original);
    this.other = element("div", { class: "other" });
    this.label = element("span", { class: "label right" });
    const slider = element("input", {
      type: "range", class: "split", min: "0", max: "100", step: "0.1", value: "50",
      "aria-label": "Where the original ends and the compressed picture begins",
    });
    const frame = element("div", { class: "frame" },
      original, this.other, element("span", { class: "line" }),
      element("span", { class: "label left", textContent: "Original" }), this.label, slider);
    const move = () => frame.style.setProperty("--split", `${slider.value}%`);
    slider.addEventListener("input", move);
    slider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -STEP_KEYS, ArrowRight: STEP_KEYS }[event.key];
      if (!steps) return;
      event.preventDefault();
      slider.value = String(Number(slider.value) + steps);
      move();
    });
    move();
    original.setAttribute("role", "img");
    original.setAttribute("aria-label", `${this.file.name}, original`);
    return element("figure", { class: "comparison" }, frame);
  }

  /** The kinds to compare with, and what each takes. */
  #rows() {
    this.table = element("fieldset", { class: "kinds" });
    this.#fillRows();
    return this.table;
  }

  #fillRows() {
    const table = /** @type {HTMLFieldSetElement} */ (this.table);
    const rows = KINDS.map(({ key, label }) => {
      const found = this.shown[key];
      const radio = element("input", {
        type: "radio", name: `${this.id}-kind`, value: key, checked: key === this.kind,
        disabled: !found,
      });
      radio.addEventListener("change", () => this.#show(key));
      const text = found ? found.text : "cannot be this small";
      return element("label", {}, radio, element("b", { textContent: label }),
        element("span", { textContent: text }));
    });
    const times = Math.round(this.file.size / this.coded.length);
    const { width, height } = /** @type {HTMLCanvasElement} */ (this.original);
    const legend = `Beside the original: ${grouped(width)} x ${grouped(height)}, ` +
      `${sizeText(this.file.size)}${times > 1 ? `, ${grouped(times)} times as many bytes` : ""}`;
    table.replaceChildren(element("legend", { textContent: legend }), ...rows);
  }

  /** @param {string} key of what to show beside the original. */
  #show(key) {
    this.kind = this.shown[key] ? key : "glc";
    const { canvas } = this.shown[this.kind];
    const { label } = /** @type {{label: string}} */ (KINDS.find((kind) => kind.key === this.kind));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.file.name}, ${label}`);
    this.other?.replaceChildren(canvas);
    if (this.label) this.label.textContent = label;
  }

  /**
   * Quality, realism and downloads.
   * @param {import("../glc.js").Codec} codec @param {boolean} isPhoto
   */
  #controls(codec, isPhoto) {
    const controls = element("div", { class: "controls" });
    const realism = this.#range("Realism", this.realism, async (value) => {
      this.realism = value;
      const image = await this.#decode(await this.context.open(this.#entry()));
      if (this.redraw) {
        this.redraw(image);
      } else {
        this.shown.glc.canvas = canvasOf(image);
        this.#show(this.kind);
      }
    }, "0 is the most faithful, 100 the most realistic picture");
    realism.hidden = !codec.takesRealism;
    if (isPhoto) {
      const quality = /** @type {number} */ (this.quality);
      controls.append(this.#range("Quality", quality, async (value) => {
        const { takesRealism } = await this.#code(value);
        realism.hidden = !takesRealism;
        this.#fillRows();
        this.#show(this.kind);
      }));
    }
    controls.append(realism);
    if (isPhoto) {
      controls.append(this.#button("Download .glc", async () =>
        download(new Blob([/** @type {any} */ (this.coded)]), `${this.stem}.glc`)));
    }
    controls.append(this.#button("Download PNG", async () =>
      download(await blobOf(this.shown.glc.canvas, "image/png"), `${this.stem}.png`)));
    return controls;
  }

  /** The model that made the file. */
  #entry() {
    return this.context.models.find(info(this.coded).model);
  }

  /**
   * @param {string} label @param {number} value @param {(value: number) => Promise<void>} change
   * @param {string} [title]
   */
  #range(label, value, change, title = "") {
    const input = element("input", {
      type: "range", min: String(FAITHFUL), max: String(REALISTIC), value: String(value), title,
    });
    const output = element("output", { textContent: String(value) });
    input.addEventListener("input", () => (output.textContent = input.value));
    input.addEventListener("change", () => {
      // One after the other, and of several that wait the last.
      this.wanted = () => change(Number(input.value));
      this.busy ??= this.context.inTurn(() => this.#work()).finally(() => (this.busy = undefined));
    });
    return element("label", { class: "range" }, `${label} `, input, output);
  }

  async #work() {
    while (this.wanted) {
      const next = this.wanted;
      this.wanted = undefined;
      try {
        await next();
      } catch (error) {
        this.#failed(/** @type {Error} */ (error));
      }
    }
  }

  /** @param {string} label @param {() => Promise<void>} act */
  #button(label, act) {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => act().catch((error) => this.#failed(error)));
    return button;
  }

  /** @param {string} model */
  #facts(model) {
    const found = info(this.coded);
    const facts = {
      "Size": `${grouped(found.width)} x ${grouped(found.height)}`,
      "File": sizeText(found.size),
      "Bits per pixel": found.bitsPerPixel.toFixed(4),
      "Quality": String(found.quality),
      "Model": `${model} (${found.model})`,
    };
    return element("dl", { class: "facts" }, ...Object.entries(facts).map(([name, value]) =>
      element("div", {},
        element("dt", { textContent: name }), element("dd", { textContent: value }))));
  }

  /** @param {HTMLCanvasElement} canvas */
  #describe(canvas) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.file.name}, decoded`);
  }

  /** @param {number} bytes @returns {string} */
  #sizeOf(bytes) {
    const { width, height } = /** @type {HTMLCanvasElement} */ (this.original);
    return `${grouped(bytes)} bytes, ${((8 * bytes) / (width * height)).toFixed(4)} bits per pixel`;
  }

  /** @param {string} text */
  #say(text) {
    this.message.textContent = text;
    this.message.hidden = this.bar.hidden = false;
    this.root.classList.remove("failed");
    this.root.setAttribute("aria-busy", "true");
  }

  /** @param {number} start @param {number} stop */
  #progress(start, stop) {
    return (/** @type {number} */ share) => (this.bar.value = start + (stop - start) * share);
  }

  #done() {
    this.message.hidden = this.bar.hidden = true;
    this.bar.value = 0;
    this.root.setAttribute("aria-busy", "false");
    this.context.say(`${this.file.name}: done`);
  }

  /** @param {Error} error */
  #failed(error) {
    this.#done();
    this.message.hidden = false;
    this.message.textContent = `${error.name}: ${error.message}`;
    this.root.classList.add("failed");
    this.context.say(`${this.file.name}: ${error.message}`);
  }
}

/** @param {File} file @returns {Promise<boolean>} */
async function startsLikeGlc(file) {
  const head = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return head[0] === 0x67 && (head[1] & 0xf0) === 0xc0;
}
