// Registers the service worker, says when everything is kept, and offers the next
// version of the page.

import { byId } from "../ui/dom.js";

/** Where the package keeps models. */
const MODELS = "encoderfile";

/** @type {Promise<ServiceWorkerRegistration> | undefined} */
let ready;

export async function register() {
  // Only over https and on this machine itself.
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    ready = navigator.serviceWorker.ready;
    watch(registration);
  } catch {
    // The page works as well without; it only needs the network each time.
  }
}

/** To be called when a model was loaded: with the page, that is all there is to keep. */
export async function showWhenSaved() {
  await ready;
  if (!ready || !(await caches.has(MODELS))) return;
  const kept = await (await caches.open(MODELS)).keys();
  byId("saved").hidden = kept.length === 0;
}

/** @param {ServiceWorkerRegistration} registration */
function watch(registration) {
  if (registration.waiting) offer(registration);
  registration.addEventListener("updatefound", () => {
    const next = registration.installing;
    next?.addEventListener("statechange", () => {
      // The first one replaces nothing.
      if (next.state === "installed" && navigator.serviceWorker.controller) offer(registration);
    });
  });
}

/** @param {ServiceWorkerRegistration} registration */
function offer(registration) {
  byId("update").hidden = false;
  byId("update-now").onclick = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    registration.waiting?.postMessage("take over");
  };
}
