// The reader's text: what is in the field, split into passages, and where it came
// from.

import { announce, byId } from "../ui/dom.js";
import { many, whole } from "../ui/format.js";
import { debounced } from "./debounced.js";
import { textOf } from "./drop.js";
import { PASSAGES_MAX, passagesOf } from "./passages.js";
import { SAMPLE } from "./sample.js";

/** A field with more than this is slow to write in, and more than any map shows. */
const CHARACTERS_MAX = 5_000_000;

export class Texts {
  #field = byId("text", HTMLTextAreaElement);
  #maxTokens = 256;
  #changed;
  /** @type {string[]} */
  #notices = [];
  /** @type {string[]} */
  passages = [];

  /**
   * `changed` is called whenever there are others.
   *
   * @param {(passages: string[]) => void} changed
   */
  constructor(changed) {
    this.#changed = changed;
    this.#field.value = SAMPLE;
    this.#field.addEventListener("input", debounced(() => this.#split(), 300));
    byId("use-sample").addEventListener("click", () => this.#replace(SAMPLE));
    byId("clear-text").addEventListener("click", () => {
      this.#replace("");
      this.#field.focus();
    });
    this.#split();
  }

  /** Models read more or less at once. @param {number} maxTokens */
  setMaxTokens(maxTokens) {
    this.#maxTokens = maxTokens;
    this.#split();
  }

  /** Files are added to what the reader wrote, but take the place of the sample. @param {File[]} files */
  async add(files) {
    const read = await Promise.all(files.map(textOf));
    const before = this.#field.value === SAMPLE ? "" : this.#field.value.trim();
    this.#notices = [];
    this.#replace([before, ...read.map((text) => text.trim())].filter(Boolean).join("\n\n"));
    announce(`${files.map((file) => file.name).join(", ")}: ${many(this.passages.length, "passage")} in all`);
  }

  /** @param {string} text */
  #replace(text) {
    this.#field.value = text.slice(0, CHARACTERS_MAX);
    this.#field.scrollTop = 0;
    this.#notices = text.length > CHARACTERS_MAX ? [`Only the first ${whole(CHARACTERS_MAX)} characters are used.`] : [];
    this.#split();
  }

  #split() {
    const { passages, total } = passagesOf(this.#field.value, this.#maxTokens);
    this.passages = passages;
    byId("texts-status").textContent = `${many(passages.length, "passage")}${this.#field.value === SAMPLE ? ", a sample" : ""}`;
    const tooMany = total > PASSAGES_MAX
      ? [`That is ${whole(total)} passages. The first ${whole(PASSAGES_MAX)} are used; the others are left out.`]
      : [];
    const notice = byId("texts-notice");
    notice.textContent = [...this.#notices, ...tooMany].join(" ");
    notice.hidden = !notice.textContent;
    this.#changed(passages);
  }
}
