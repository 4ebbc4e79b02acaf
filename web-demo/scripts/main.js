// The start of the page: joins the text, the model and the panel that fits it.

import { classifyPanel, zeroShotPanel } from "./classify.js";
import { showContents } from "./contents.js";
import { byId, fromTemplate } from "../ui/dom.js";
import { isModel, onChoice, onDrop } from "./drop.js";
import { entitiesPanel } from "./entities.js";
import { Meter } from "./meter.js";
import { Models } from "./models.js";
import { register, showWhenSaved } from "./offline.js";
import { rerankPanel } from "./rerank.js";
import { searchPanel } from "./search.js";
import { maskPanel, sparsePanel, tokensPanel } from "./single.js";
import { Texts } from "./texts.js";

/**
 * @import { Encoderfile, Info } from "encoderfile"
 * @import { Figures } from "./meter.js"
 * @import { ModelSource } from "./models.js"
 * @import { Panel, StartPanel } from "./panel.js"
 */

/**
 * By kind of model: the page's title, the template, and what brings it to life. One
 * that is of a single text has no use for passages.
 *
 * @type {Record<string, { title: string, template: string, start: StartPanel, isSingle?: boolean }>}
 */
const panels = {
  search: { title: "Search text by meaning", template: "panel-search", start: searchPanel },
  rerank: { title: "Rerank text by how well it answers", template: "panel-rerank", start: rerankPanel },
  entities: { title: "Find the entities in a text", template: "panel-entities", start: entitiesPanel },
  classify: { title: "Classify text", template: "panel-classify", start: classifyPanel },
  zeroShot: { title: "Classify by labels of your own (zero-shot)", template: "panel-zero-shot", start: zeroShotPanel },
  mask: { title: "Fill in masked words", template: "panel-single", start: maskPanel, isSingle: true },
  sparse: { title: "Sparse embedding of a text", template: "panel-single", start: sparsePanel, isSingle: true },
  tokens: { title: "Token embeddings of a text", template: "panel-single", start: tokensPanel, isSingle: true },
};

/** @param {Info} info */
function panelFor({ task, labels = [] }) {
  switch (task) {
    case "sentence_embedding": return "search";
    case "token_classification": return "entities";
    case "fill_mask": return "mask";
    case "sparse_embedding": return "sparse";
    case "late_interaction": return "rerank";
    case "sequence_classification":
      if (labels.some((label) => /^entail/i.test(label))) return "zeroShot";
      return labels.length === 1 ? "rerank" : "classify";
    default: return "tokens";
  }
}

const meter = new Meter();
let shown = "";
/** @type {Panel | undefined} */
let panel;
const texts = new Texts((passages) => panel?.setPassages(passages));
const models = new Models(loaded);

/** @param {string} name */
function show(name) {
  if (shown === name) return;
  panel?.end();
  const { title, template, start, isSingle = false } = panels[name];
  const root = byId("panel");
  root.replaceChildren(fromTemplate(template));
  shown = name;
  root.dataset.panel = name;
  byId("title").textContent = title;
  byId("texts").hidden = isSingle;
  panel = start(root, meter);
  panel.setPassages(texts.passages);
}

/** @param {ModelSource} source */
function sourceWords({ kind, from, name }) {
  if (kind === "default") return "The default model of encoderfile";
  return kind === "file" ? `From the file ${name}` : `From ${from}`;
}

/**
 * @param {Encoderfile} model
 * @param {ModelSource} source
 * @param {Figures} figures
 */
function loaded(model, source, figures) {
  const { info } = model;
  meter.begin(model, figures);
  document.title = `${info.name} · encoderfile`;
  byId("lead").textContent = `${info.name} runs in this page.`;
  byId("model-name").textContent = info.name;
  byId("model-source").textContent = sourceWords(source);
  byId("default-model").hidden = source.kind === "default";
  showContents(info);
  show(panelFor(info));
  texts.setMaxTokens(info.max_tokens);
  panel?.setModel(model);
  if (source.kind !== "file") showWhenSaved();
}

/** @param {File[]} files */
async function take(files) {
  const areModels = await Promise.all(files.map(isModel));
  const written = files.filter((_, index) => !areModels[index]);
  const last = files.filter((_, index) => areModels[index]).pop();
  if (written.length) await texts.add(written);
  if (last) models.loadFile(last);
}

show("search");
models.loadDefault();
register();

onDrop(take);
onChoice(byId("add-files"), byId("text-files", HTMLInputElement), take);
onChoice(byId("choose-model"), byId("model-file", HTMLInputElement), ([file]) => models.loadFile(file));
byId("default-model").addEventListener("click", () => models.loadDefault());
byId("by-address").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("address", HTMLInputElement);
  const address = field.value.trim();
  if (address) models.loadAddress(address);
  else field.focus();
});
