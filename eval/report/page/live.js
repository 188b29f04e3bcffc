"use strict";

// Decodes the files that the page holds, with the codec that lies beside it.
(() => {
  const glc = () => import(new URL("live/glc.js", document.baseURI));
  const codecs = new Map();
  let queue = Promise.resolve();

  function codecOf(model, say) {
    if (!codecs.has(model)) {
      const loading = glc().then(({ Codec }) => Codec.load(new URL(model, document.baseURI), {
        progress: (share) => say(`Loading the model, ${Math.round(100 * share)} %`),
      }));
      // A failure is not kept: the server may be back.
      loading.catch(() => codecs.delete(model));
      codecs.set(model, loading);
    }
    return codecs.get(model);
  }

  async function show(image, img) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    if (img.src.startsWith("blob:")) URL.revokeObjectURL(img.src);
    img.src = URL.createObjectURL(blob);
    await img.decode();
  }

  function setUp(strip) {
    const part = strip.querySelector(".live");
    const [button, link, status] = ["button", "a", "span"].map((name) => part.querySelector(name));
    const say = (text) => { status.textContent = text; };
    if (location.protocol === "file:") {
      button.disabled = true;
      say("Works where a server shows this page, as python -m http.server does in its folder: " +
        "a browser starts no codec from a disk.");
      return;
    }

    async function decode() {
      try {
        say("Loading the model");
        const codec = await codecOf(part.dataset.model, say);
        const letters = atob(link.href.split(",")[1]);
        const data = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
        say("Decoding");
        const begin = performance.now();
        const image = await codec.decode(data, {
          realism: Number(part.dataset.realism),
          progress: (share) => say(`Decoding, ${Math.round(100 * share)} %`),
        });
        const seconds = ((performance.now() - begin) / 1000).toFixed(1);
        await show(image, strip.querySelector(".layer.tested img"));
        const size = data.length.toLocaleString("en");
        say(`The picture in the middle was decoded here, from ${size} bytes, in ${seconds} s.`);
        part.dataset.state = "done";
      } catch (error) {
        say(`${error.name}: ${error.message}`);
        part.dataset.state = "failed";
      } finally {
        button.disabled = false;
      }
    }

    button.addEventListener("click", () => {
      button.disabled = true;
      say("Waiting");
      queue = queue.then(decode);
    });
  }

  document.querySelectorAll(".strip").forEach(setUp);
})();
