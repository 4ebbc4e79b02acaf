// Which model is in use: loading one, with its progress, and going back to what was
// there when that fails.

import { Encoderfile } from "../encoderfile/index.js";
import { announce, byId, element } from "./dom.js";
import { wordsFor } from "./errors.js";
import { bytes } from "./format.js";

/** Beside the page, as every other file of it. */
const DEFAULT = { kind: "default", from: new URL("../all-MiniLM-L6-v2.ef", import.meta.url), name: "all-MiniLM-L6-v2" };

const origins = { network: "from the network", cache: "from this browser’s cache", given: "from the file" };

export class Models {
  #inUse;
  #loading;
  #loaded;

  /** `loaded(model, source, figures)` is called when there is another. */
  constructor(loaded) {
    this.#loaded = loaded;
    byId("loading-cancel").addEventListener("click", () => this.#cancel());
  }

  loadDefault() {
    return this.#load(DEFAULT);
  }

  loadAddress(address) {
    return this.#load({ kind: "address", from: address, name: address.split(/[?#]/)[0].split("/").pop() || address });
  }

  loadFile(file) {
    return this.#load({ kind: "file", from: file, name: file.name });
  }

  /** The one in use works until the next is ready. */
  async #load(source) {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const start = performance.now();
    let amount = 0;
    let from = "given";
    this.#begin(source);
    try {
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

  #begin({ name }) {
    byId("problem").hidden = true;
    byId("loading-title").textContent = `Loading ${name}`;
    byId("loading-amount").textContent = "Starting…";
    byId("loading-progress").removeAttribute("value");
    byId("loading-cancel").hidden = !this.#inUse;
    byId("loading").hidden = false;
    byId("chips").hidden = true;
  }

  #progress({ loaded, total, from }) {
    const isThere = loaded === total;
    const amount = total ? `${bytes(loaded)} of ${bytes(total)}` : bytes(loaded);
    byId("loading-amount").textContent = isThere ? `${bytes(loaded)} read. Preparing…` : `${amount} ${origins[from]}`;
    if (total) byId("loading-progress").value = loaded / total;
  }

  #end() {
    byId("loading").hidden = true;
    byId("chips").hidden = false;
  }

  #fail(source, error) {
    const remains = this.#inUse ? ` ${this.#inUse.info.name} is still in use.` : "";
    const again = element("button", { type: "button", onclick: () => this.#load(source) }, "Try again");
    const isPassing = ["network", "http", "worker", "out_of_memory"].includes(error.code);
    const close = element("button", { type: "button", onclick: () => (byId("problem").hidden = true) }, "Close");
    byId("problem").replaceChildren(
      element("p", {}, element("b", {}, source.name), " could not be loaded. ", wordsFor(error), remains,
        element("small", {}, `${error.code ?? error.name}: ${error.message}`)),
      isPassing || !this.#inUse ? again : "",
      this.#inUse ? close : "",
    );
    byId("problem").hidden = false;
  }
}
