// Asking the server: addresses, the key, and its refusals in words.

import { byId } from "../ui/dom.js";
import { many, sentence } from "../ui/format.js";

/** Where the server is, below whatever prefix a proxy puts in front. */
const base = new URL(".", document.baseURI);

/** Its address as snippets write it. */
export const origin = base.href.replace(/\/$/, "");

/** Under which this tab keeps the key until it is closed. */
const KEY = "encoderfile-api-key";

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

export const forgetKey = () => sessionStorage.removeItem(KEY);

/** What the server or the network refused, in words. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks for a path; with a body, by POST.
 *
 * @param {string} path
 * @param {{ body?: object, signal?: AbortSignal }} options
 */
export async function call(path, { body, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const request = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
  const response = await fetch(new URL(path, base), request).catch((cause) => {
    if (signal?.aborted) throw cause;
    throw new Refusal("No answer from the server. Is it still running?");
  });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** @param {Response} response */
async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const said = typeof body.error === "string" ? body.error : body.error?.message ?? response.statusText;
  return new Refusal(refusalWords(response, said), response.status);
}

/** @param {Response} response @param {string} said */
function refusalWords(response, said) {
  switch (response.status) {
    case 401: return "The server wants a valid API key.";
    case 413: return `The request is too large. ${said}`;
    case 429: return `The server is busy. ${wait(response.headers.get("retry-after"))}`;
    case 503: return `The server is not ready or is shutting down. ${said}`;
    default: {
      const reason = sentence(said) || "No reason was given.";
      return response.status < 500 ? reason : `The server failed (${response.status}). ${reason}`;
    }
  }
}

/** @param {string | null} after */
function wait(after) {
  if (!after) return "Try again in a moment.";
  return /^\d+$/.test(after) ? `Try again in ${many(Number(after), "second")}.` : `Try again after ${after}.`;
}

/**
 * Repeats `attempt` with a key from the person for as long as the server wants one.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
export async function withKey(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (problem) {
      if (!(problem instanceof Refusal) || problem.status !== 401) throw problem;
      const key = await askForKey(hasKey() ? "That key was not accepted." : "");
      if (!key) throw problem;
      sessionStorage.setItem(KEY, key);
      byId("forget-key").hidden = false;
    }
  }
}

/** @param {string} words @returns {Promise<string>} */
function askForKey(words) {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const field = byId("key", HTMLInputElement);
  byId("key-problem").textContent = words;
  byId("key-problem").hidden = !words;
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "use" ? field.value.trim() : "");
    dialog.addEventListener("close", closed, { once: true });
  });
}
