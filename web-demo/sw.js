// The service worker: keeps the page and the package, so that both start without a
// network. The model is kept by the package, in a cache of its own ("encoderfile"),
// which is left alone here.

// The next line is written by `cargo xtask demo`; the version is a hash of the files.
const PRECACHE = { version: "unbuilt", files: [] };

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const root = new URL("./", worker.location.href).href;
// Other folders of this origin may have a demo too.
const prefix = `encoderfile-demo ${root} `;
const current = prefix + PRECACHE.version;
const addresses = new Set(PRECACHE.files.map((file) => new URL(file, root).href));

async function keep() {
  const cache = await caches.open(current);
  // Asked for again, so that no file of another version is among them.
  await cache.addAll([...addresses].map((address) => new Request(address, { cache: "no-cache" })));
}

async function takeOver() {
  const names = await caches.keys();
  const old = names.filter((other) => other.startsWith(prefix) && other !== current);
  await Promise.all(old.map((other) => caches.delete(other)));
  await worker.clients.claim();
}

/** @param {string} address @param {Request} request */
async function answer(address, request) {
  const cache = await caches.open(current);
  return (await cache.match(address, { ignoreVary: true })) ?? fetch(request);
}

worker.addEventListener("install", (event) => event.waitUntil(keep()));
worker.addEventListener("activate", (event) => event.waitUntil(takeOver()));

// A new version waits until the page, where somebody may be writing, asks for it.
worker.addEventListener("message", ({ data }) => {
  if (data === "take over") worker.skipWaiting();
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const address = (origin + pathname).replace(/\/index\.html$/, "/");
  if (request.method === "GET" && addresses.has(address)) event.respondWith(answer(address, request));
});
