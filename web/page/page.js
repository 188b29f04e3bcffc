/**
 * The page: takes files, gives each a card, and keeps the site for when there is no network.
 */

import { Card } from "./card.js";
import { byId, element } from "./dom.js";
import { Models } from "./models.js";
import { hex } from "../lib/codec.js";
import { identityOf } from "../lib/weights.js";

const ROOT = new URL("../", import.meta.url);
const CHOSEN = "glc-model";
const BY_QUALITY = "";

/** @param {string} text to be read out, too. */
function say(text) {
  byId("status").textContent = text;
}

/** Read what the site holds. */
async function readIndex() {
  const response = await fetch(new URL("site.json", ROOT), { cache: "no-cache" });
  if (!response.ok) throw new Error(`the site is not whole: site.json gives ${response.status}`);
  const text = await response.text();
  const digest = hex(await identityOf(new TextEncoder().encode(text)));
  return { index: JSON.parse(text), digest };
}

/** @param {Models} models */
function fillModels(models) {
  const select = byId("model");
  if (models.sharesQualities) {
    select.append(element("option", { value: BY_QUALITY, textContent: "by quality" }));
  }
  for (const { name, bytes } of models.entries) {
    const text = `${name}, ${(bytes / 1e6).toFixed(0)} MB`;
    select.append(element("option", { value: name, textContent: text }));
  }
  const before = localStorage.getItem(CHOSEN);
  if ([...select.options].some((option) => option.value === before)) select.value = before;
  select.addEventListener("change", () => localStorage.setItem(CHOSEN, select.value));
}

/** @param {Models} models @returns {(files: Iterable<File>) => void} */
function taker(models) {
  const [loading, quality] = [byId("loading"), byId("quality")];
  /** @type {Promise<void>} */
  let queue = Promise.resolve();
  // All have the same processors, and one model is loaded at a time.
  const inTurn = (/** @type {() => Promise<void>} */ work) => (queue = queue.then(work));
  const context = {
    models,
    say,
    inTurn,
    quality: () => Number(quality.value),
    chosen: () => models.entries.find((entry) => entry.name === byId("model").value),
    /** @param {import("./models.js").Entry} entry */
    open: async (entry) => {
      if (models.loaded !== entry.identity) say(`Loading the model ${entry.name}`);
      try {
        return await models.open(entry, (share) => {
          loading.hidden = false;
          loading.value = share;
        });
      } finally {
        loading.hidden = true;
      }
    },
  };
  return (files) => {
    for (const file of files) {
      const card = new Card(file, context);
      byId("cards").prepend(card.root);
      inTurn(() => card.run());
    }
  };
}

/** @param {(files: Iterable<File>) => void} take */
function listen(take) {
  const [drop, input] = [byId("drop"), byId("files")];
  input.addEventListener("change", () => {
    take([...input.files]);
    // Else choosing the same file again would be no change.
    input.value = "";
  });
  const over = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  document.addEventListener("dragenter", over);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...(event.dataTransfer?.files ?? [])]);
  });
  document.addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));
}

/** @param {string} digest of the index. */
async function keep(digest) {
  if (!("serviceWorker" in navigator)) return;
  const url = new URL(`sw.js?v=${digest.slice(0, 16)}`, ROOT);
  await navigator.serviceWorker.register(url);
}

async function begin() {
  const [quality, shown] = [byId("quality"), byId("quality-shown")];
  quality.addEventListener("input", () => (shown.textContent = quality.value));
  const settings = byId("settings");
  settings.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  const { index, digest } = await readIndex();
  const models = new Models(index.models, ROOT);
  fillModels(models);
  listen(taker(models));
  const threads = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const word = threads > 1 ? "threads" : "thread";
  byId("about").textContent = `glc ${index.version}, on ${threads} ${word}.`;
  say("Ready");
  document.documentElement.dataset.ready = "true";
  await keep(digest).catch((error) => console.warn(`not kept for offline use: ${error.message}`));
}

begin().catch((error) => say(error.message));
