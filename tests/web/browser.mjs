/**
 * Drives a browser for the tests.
 *
 *     node browser.mjs COMMAND < argument.json > answer.json
 *
 * An answer also says which requests went to other hosts, what violated the policy of the page,
 * and which errors nobody caught.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";

const PACKAGE = "../../web/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js";
const { default: puppeteer } = await import(new URL(PACKAGE, import.meta.url));

const SECONDS = 1000;
const LONG = { timeout: 300 * SECONDS };
const base64 = (path) => readFileSync(path).toString("base64");
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** Functions that pages are given. */
function provide() {
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  window.toBytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  window.toText = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return btoa(text);
  };
}

const commands = {
  /**
   * Jobs with one model: decoded pixels are written into files, encoded ones returned.
   * `decode`: [file, realism, output]; `encode`: [picture file, quality]; `verify`: files in hex.
   */
  async library(page, { model, threads, decode = [], encode = [], verify = [] }) {
    await page.evaluate(async (model, threads) => {
      const glc = await import("./glc.js");
      window.glc = glc;
      window.codec = await glc.Codec.load(model, { threads: threads ?? undefined });
    }, model, threads);
    const found = await page.evaluate(() => ({
      name: window.codec.name,
      isolated: crossOriginIsolated,
      takesRealism: window.codec.takesRealism,
    }));
    found.decoded = [];
    for (const [file, realism, output] of decode) {
      const { size, text, canvas, told } = await page.evaluate(async (data, realism) => {
        const told = [];
        const progress = (share) => told.push(share);
        const options = realism === null ? { progress } : { realism, progress };
        const image = await window.codec.decode(window.toBytes(data), options);
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext("2d");
        context.putImageData(image, 0, 0);
        const back = context.getImageData(0, 0, image.width, image.height).data;
        return {
          size: [image.width, image.height], text: window.toText(image.data), told,
          canvas: image.data.every((value, at) => value === back[at]),
        };
      }, base64(file), realism);
      writeFileSync(output, Buffer.from(text, "base64"));
      found.decoded.push({ size, canvas, told });
    }
    found.encoded = [];
    for (const [file, quality] of encode) {
      found.encoded.push(await page.evaluate(async (data, quality) => {
        try {
          const coded = await window.codec.encode(new Blob([window.toBytes(data)]), quality);
          window.codec.info(coded);
          return window.toText(coded);
        } catch (error) {
          return { error: error.name, message: error.message };
        }
      }, base64(file), quality));
    }
    found.verified = await page.evaluate(async (files) => {
      const answers = [];
      for (const hex of files) {
        const data = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
        try {
          answers.push(window.toText(await window.codec.verify(data)));
        } catch (error) {
          const isBelow = error instanceof window.glc.GlcError;
          answers.push(isBelow ? error.name : `${error.name} outside of the tree`);
        }
      }
      window.codec.close();
      return answers;
    }, verify);
    found.verified = found.verified.map((text) =>
      /Error/.test(text) ? text : sha256(Buffer.from(text, "base64")));
    return found;
  },

  /** Give the page some files, one after the other; `shots` names screenshots of the end. */
  async page(page, { files, shots, width = 1400 }) {
    await page.setViewport({ width, height: 900 });
    await ready(page);
    const cards = [];
    for (const file of files) cards.push(await give(page, file));
    const sizes = {};
    for (const [path, across, theme] of shots ?? []) {
      await page.setViewport({ width: across, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      await page.screenshot({ path, fullPage: true });
      sizes[`${across} ${theme}`] = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        back: getComputedStyle(document.body).backgroundColor,
      }));
    }
    return { cards, sizes, about: await textOf(page, "#about") };
  },

  /** Drop files on the page, all at once; returns the names on its cards, the last one first. */
  async drop(page, { files }) {
    await ready(page);
    const given = files.map((file) => [file.split("/").pop(), base64(file)]);
    const prevented = await page.evaluate((given) => {
      const dataTransfer = new DataTransfer();
      for (const [name, data] of given) {
        dataTransfer.items.add(new File([window.toBytes(data)], name));
      }
      const options = { dataTransfer, bubbles: true, cancelable: true };
      const send = (type) => !document.body.dispatchEvent(new DragEvent(type, options));
      return ["dragenter", "dragover", "drop"].map(send);
    }, given);
    await page.waitForFunction((count) => {
      const cards = [...document.querySelectorAll(".card")];
      return cards.length === count && cards.every((card) => card.querySelector(".controls"));
    }, LONG, files.length);
    const names = await page.$$eval(".card h2", (heads) => heads.map((head) => head.textContent));
    return { prevented, names };
  },

  /** Work on a photo with the keyboard alone; returns what the page says on the way. */
  async keyboard(page, { photo }) {
    await ready(page);
    await page.keyboard.press("Tab");
    const first = await page.evaluate(() => document.activeElement.id);
    const card = await give(page, photo);
    const split = () => page.$eval(".frame", (frame) => frame.style.getPropertyValue("--split"));
    const moves = [await split()];
    await page.focus(".split");
    for (const key of ["ArrowLeft", "End", "Home"]) {
      await page.keyboard.press(key);
      moves.push(await split());
    }
    await page.focus(".kinds input:checked");
    await page.keyboard.press("ArrowDown");
    const second = await textOf(page, ".label.right");
    await page.focus(".controls .range input");
    for (let count = 0; count < 5; count++) await page.keyboard.press("PageDown");
    await page.waitForFunction((before) => {
      const done = document.querySelector(".card").getAttribute("aria-busy") === "false";
      return done && document.querySelector(".kinds span").textContent !== before;
    }, LONG, card.kinds[0]);
    const kinds = await page.$$eval(".kinds span", (spans) =>
      spans.map((span) => span.textContent));
    const names = await page.evaluate(() => [...document.querySelectorAll("input, button, select")]
      .filter((item) => !item.labels?.length && !item.textContent && !item.ariaLabel).length);
    return { first, before: card.kinds, moves, second, kinds, nameless: names };
  },

  /** What the page shows of a photo at one quality after another. */
  async qualities(page, { file, model, qualities }) {
    await ready(page);
    await page.select("#model", model);
    await give(page, file);
    const seen = [];
    for (const quality of qualities) {
      await page.evaluate((quality) => {
        const input = document.querySelector(".controls .range input");
        input.value = quality;
        input.dispatchEvent(new Event("change"));
      }, String(quality));
      await page.waitForFunction((quality) => {
        const card = document.querySelector(".card");
        return card.getAttribute("aria-busy") === "false" && card.dataset.quality === quality;
      }, LONG, String(quality));
      seen.push(await page.evaluate(() => ({
        model: document.querySelector(".card").dataset.model,
        realism: !document.querySelectorAll(".controls .range")[1].hidden,
        bytes: document.querySelector(".kinds span").textContent,
      })));
    }
    const options = await page.$$eval("#model option", (all) => all.map((one) => one.textContent));
    return { seen, options };
  },

  /** What `Download` gives, by the text of its buttons. */
  async downloads(page, { file, buttons }) {
    await ready(page);
    await give(page, file);
    await page.evaluate(() => {
      window.offered = [];
      HTMLAnchorElement.prototype.click = function () {
        const content = window.made.get(this.href).arrayBuffer();
        window.offered.push(content.then((data) =>
          [this.download, window.toText(new Uint8Array(data))]));
      };
      window.made = new Map();
      const make = URL.createObjectURL;
      URL.createObjectURL = (blob) => {
        const url = make.call(URL, blob);
        window.made.set(url, blob);
        return url;
      };
    });
    for (const text of buttons) {
      const before = await page.evaluate(() => window.offered.length);
      await page.evaluate((text) => {
        [...document.querySelectorAll("button")].find((own) => own.textContent === text).click();
      }, text);
      await page.waitForFunction((count) => window.offered.length > count, LONG, before);
    }
    return page.evaluate(() => Promise.all(window.offered));
  },

  /**
   * What loading, decoding and encoding cost: seconds of the processor, each time, and the most
   * memory that the page's process has had, in MB.
   */
  async measure(page, { model, threads, file, picture, repeat }) {
    const cdp = await page.browser().target().createCDPSession();
    const before = new Set((await renderers(cdp)).map((own) => own.id));
    const fresh = await page.browser().newPage();
    await fresh.goto(page.url());
    await fresh.evaluate(provide);
    const [{ id }] = (await renderers(cdp)).filter((own) => !before.has(own.id));
    const cpu = async () => (await renderers(cdp)).find((own) => own.id === id).cpuTime;
    const timed = async (work, ...given) => {
      const used = await cpu();
      await fresh.evaluate(work, ...given);
      return (await cpu()) - used;
    };
    const found = { decode: [], encode: [] };
    await fresh.evaluate((data, image) => {
      window.data = window.toBytes(data);
      window.picture = new Blob([window.toBytes(image)]);
    }, base64(file), base64(picture));
    found.load = await timed(async (model, threads) => {
      const { Codec } = await import("./glc.js");
      window.codec = await Codec.load(model, { threads });
    }, model, threads);
    for (let count = 0; count < repeat; count++) {
      found.decode.push(await timed(async () => void (await window.codec.decode(window.data))));
    }
    for (let count = 0; count < repeat; count++) {
      found.encode.push(await timed(async () => {
        await window.codec.encode(window.picture, 50);
      }));
    }
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    return { ...found, peak: Number(/VmHWM:\s*(\d+)/.exec(status)[1]) / 1000 };
  },

  /** Open the page once with a network, and again without. */
  async offline(page, { file }) {
    await ready(page);
    await give(page, file);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.waitForFunction(() => navigator.serviceWorker.controller, LONG);
    await page.setOfflineMode(true);
    const workers = page.browser().targets().filter((target) => target.type() === "service_worker");
    for (const target of workers) {
      const session = await target.createCDPSession();
      await session.send("Network.enable");
      await session.send("Network.emulateNetworkConditions", {
        offline: true, latency: 0, downloadThroughput: 0, uploadThroughput: 0,
      });
    }
    await page.reload();
    await ready(page);
    const card = await give(page, file);
    const isolated = await page.evaluate(() => crossOriginIsolated);
    return { card, isolated, caches: await page.evaluate(() => caches.keys()) };
  },
};

async function renderers(cdp) {
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  return processInfo.filter((own) => own.type === "renderer");
}

async function ready(page) {
  await page.waitForSelector("html[data-ready]", LONG);
}

async function textOf(page, selector) {
  return page.$eval(selector, (found) => found.textContent);
}

/** Give the page a file and wait for its card. */
async function give(page, file) {
  const input = await page.$("#files");
  const before = await page.$$eval(".card", (cards) => cards.length);
  await input.uploadFile(file);
  await page.waitForFunction((count) => {
    const cards = document.querySelectorAll(".card");
    return cards.length > count && cards[0].getAttribute("aria-busy") === "false" &&
      (cards[0].querySelector(".controls") || cards[0].classList.contains("failed"));
  }, LONG, before);
  return page.evaluate(() => {
    const card = document.querySelector(".card");
    const facts = [...card.querySelectorAll(".facts div")].map((row) =>
      [...row.children].map((cell) => cell.textContent));
    const message = card.querySelector(".message");
    return {
      name: card.querySelector("h2").textContent,
      message: message.hidden ? "" : message.textContent,
      facts: Object.fromEntries(facts),
      kinds: [...card.querySelectorAll(".kinds span")].map((span) => span.textContent),
      canvases: [...card.querySelectorAll("canvas")].map((own) => [own.width, own.height]),
    };
  });
}

process.stdin.setEncoding("utf8");
const argument = JSON.parse((await process.stdin.toArray()).join(""));
const command = process.argv[2];
const browser = await puppeteer.launch({
  browser: argument.kind ?? "chrome",
  executablePath: argument.browser,
  // Without a sandbox of its own, since tests may run as root; what is opened is this project's.
  args: argument.kind === "firefox" ? [] : ["--no-sandbox", "--disable-dev-shm-usage"],
  protocolTimeout: LONG.timeout,
});
const [foreign, errors] = [[], []];
try {
  const page = await browser.newPage();
  page.on("request", (request) => {
    const url = new URL(request.url());
    const isLocal = ["blob:", "data:"].includes(url.protocol);
    if (!isLocal && url.origin !== new URL(argument.url).origin) foreign.push(request.url());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    // A browser offline says so of every request that it could not make.
    const isNetwork = message.text().includes("net::ERR_INTERNET_DISCONNECTED");
    if (message.type() === "error" && !isNetwork) errors.push(message.text());
  });
  await page.evaluateOnNewDocument(provide);
  await page.goto(argument.url);
  const found = await commands[command](page, argument);
  const violations = await page.evaluate(() => window.violations);
  console.log(JSON.stringify({ found, foreign, errors, violations }));
} finally {
  await browser.close();
}
