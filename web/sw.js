/**
 * Keeps the site for when there is no network, and gives it the headers that threads want.
 *
 * The page asks for this file with the digest of `site.json` behind it, so that another site is
 * another worker. Models are kept by `page/models.js`.
 */

const PREFIX = "glc-site-";
const CACHE = PREFIX + new URL(self.location.href).searchParams.get("v");
const INDEX = new URL("site.json", self.location.href).href;
const PAGE = new URL("index.html", self.location.href).href;
const MODELS = new URL("models/", self.location.href).href;
/** As `glc web --serve` sends them; hosts of static files often cannot. */
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(begin()));
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const isOurs = event.request.method === "GET" && url.origin === self.location.origin;
  if (isOurs && !url.href.startsWith(MODELS)) event.respondWith(answer(event.request));
});

/** Fetch every file of the site, and compare it with what the index says of it. */
async function keepAll() {
  const cache = await caches.open(CACHE);
  const index = await fetch(INDEX, { cache: "no-cache" });
  const { files } = await index.clone().json();
  await cache.put(INDEX, index);
  await Promise.all(Object.entries(files).map(async ([name, digest]) => {
    const url = new URL(name, self.location.href).href;
    const response = await fetch(url, { cache: "no-cache" });
    const data = await response.clone().arrayBuffer();
    if (!response.ok || (await digestOf(data)) !== digest) throw new Error(`${name} was changed`);
    await cache.put(url, response);
  }));
  await self.skipWaiting();
}

/** Forget earlier sites. */
async function begin() {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

/** @param {Request} request @returns {Promise<Response>} */
async function answer(request) {
  const cache = await caches.open(CACHE);
  const url = new URL(request.url);
  if (url.href === INDEX) {
    try {
      return await fetch(request);
    } catch {
      return isolated((await cache.match(INDEX)) ?? Response.error());
    }
  }
  const kept = await cache.match(url.pathname.endsWith("/") ? PAGE : request.url);
  return kept ? isolated(kept) : fetch(request);
}

/** @param {Response} response @returns {Response} */
function isolated(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}

/** @param {ArrayBuffer} data @returns {Promise<string>} */
async function digestOf(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
