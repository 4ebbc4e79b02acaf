// Which model is in use: loading one, with its progress, and going back to what was
// there when that fails.

import { Encoderfile } from "../encoderfile/index.js";
import { announce, byId, element } from "../ui/dom.js";
import { bytes } from "../ui/format.js";
import { codeOf, wordsFor } from "./errors.js";
import { origins } from "./meter.js";

/** @import { Origin, Progress } from "encoderfile" */
/** @import { Figures } from "./meter.js" */

/** @typedef {{ kind: "default" | "address" | "file", from: URL | string | File, name: string }} ModelSource */

/** Beside the page, as every other file of it. @type {ModelSource} */
const DEFAULT = { kind: "default", from: new URL("../all-MiniLM-L6-v2.ef", import.meta.url), name: "all-MiniLM-L6-v2" };

export class Models {
  /** @type {Encoderfile | undefined} */
  #inUse;
  /** @type {AbortController | undefined} */
  #loading;
  #loaded;

  /**
   * `loaded` is called when there is another.
   *
   * @param {(model: Encoderfile, source: ModelSource, figures: Figures) => void} loaded
   */
  constructor(loaded) {
    this.#loaded = loaded;
    byId("loading-cancel").addEventListener("click", () => this.#cancel());
  }

  loadDefault() {
    return this.#load(DEFAULT);
  }

  /** @param {string} address */
  loadAddress(address) {
    return this.#load({ kind: "address", from: address, name: address.split(/[?#]/)[0].split("/").pop() || address });
  }

  /** @param {File} file */
  loadFile(file) {
    return this.#load({ kind: "file", from: file, name: file.name });
  }

  /** The one in use works until the next is ready. @param {ModelSource} source */
  async #load(source) {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const start = performance.now();
    let amount = 0;
    /** @type {Origin} */
    let from = "given";
    this.#begin(source);
    try {
      /** @param {Progress} progress */
      const onProgress = (progress) => {
        ({ loaded: amount, from } = progress);
        if (!loading.signal.aborted) this.#progress(progress);
      };
      const model = await Encoderfile.load(source.from, { signal: loading.signal, onProgress });
      this.#inUse?.dispose();
      this.#inUse = model;
      this.#end();
      this.#loaded(model, source, { time: performance.now() - start, amount, from });
      announce(`${model.info.name} is ready`);
    } catch (error) {
      // Another load has taken its place, or somebody changed their mind.
      if (loading.signal.aborted) return;
      this.#end();
      this.#fail(source, error);
    }
  }

  #cancel() {
    this.#loading?.abort();
    this.#end();
    announce("Loading was cancelled");
  }

  /** @param {ModelSource} source */
  #begin({ name }) {
    byId("problem").hidden = true;
    byId("loading-title").textContent = `Loading ${name}`;
    byId("loading-amount").textContent = "Starting…";
    byId("loading-progress").removeAttribute("value");
    byId("loading-cancel").hidden = !this.#inUse;
    byId("loading").hidden = false;
    byId("chips").hidden = true;
  }

  /** @param {Progress} progress */
  #progress({ loaded, total, from }) {
    const isThere = loaded === total;
    const amount = total ? `${bytes(loaded)} of ${bytes(total)}` : bytes(loaded);
    byId("loading-amount").textContent = isThere ? `${bytes(loaded)} read. Preparing…` : `${amount} ${origins[from]}`;
    if (total) byId("loading-progress", HTMLProgressElement).value = loaded / total;
  }

  #end() {
    byId("loading").hidden = true;
    byId("chips").hidden = false;
  }

  /** @param {ModelSource} source @param {unknown} error */
  #fail(source, error) {
    const remains = this.#inUse ? ` ${this.#inUse.info.name} is still in use.` : "";
    const again = element("button", { type: "button", onclick: () => this.#load(source) }, "Try again");
    const code = codeOf(error);
    const isPassing = ["network", "http", "worker", "out_of_memory"].includes(code ?? "");
    const close = element("button", { type: "button", onclick: () => (byId("problem").hidden = true) }, "Close");
    byId("problem").replaceChildren(
      element("p", {}, element("b", {}, source.name), " could not be loaded. ", wordsFor(error), remains,
        element("small", {}, error instanceof Error ? `${code ?? error.name}: ${error.message}` : String(error))),
      isPassing || !this.#inUse ? again : "",
      this.#inUse ? close : "",
    );
    byId("problem").hidden = false;
  }
}
