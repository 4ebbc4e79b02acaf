// The page that `serve` shows at `/`: asks GET /info what the model can do and shows
// a tool for each of it, snippets of the same request, and what the file contains.

import { copy } from "../ui/clipboard.js";
import { facts, fieldRows, sizeBar, taskInWords } from "../ui/contents.js";
import { byId, element } from "../ui/dom.js";
import { panelOf } from "./run.js";
import { Refusal, call, forgetKey, hasKey, withKey } from "./server.js";
import { showSnippets } from "./snippets.js";
import { tabs } from "./tabs.js";
import { toolsOf } from "./tools.js";

/** @import { FileInfo, ServerInfo } from "./answers.js" */
/** @import { Panel } from "./run.js" */

/** Limits that the table of the file has already. */
const OF_FILE = ["model_id", "model_sha", "model_dtype", "embedding_space_id"];

/** @param {FileInfo} info */
function purpose({ task, capabilities }) {
  if (capabilities.includes("embed") && capabilities.includes("sparse")) {
    return "Hybrid embeddings: dense, sparse and ColBERT vectors of each text";
  }
  if (capabilities.includes("rerank")) return "Cross-encoder for reranking: how well a text answers a query";
  if (capabilities.includes("zero_shot")) return "Natural language inference, and with it zero-shot classification";
  return taskInWords(task);
}

/** @param {FileInfo} info */
function showHeader(info) {
  document.title = `${info.name} · encoderfile`;
  byId("model-name").textContent = info.name;
  byId("model-task").textContent = purpose(info);
  byId("chips").replaceChildren(...facts(info));
}

/** @param {ServerInfo} server */
function showContents({ encoderfile: { sizes_bytes: sizes, ...fields }, ...server }) {
  byId("sizes").replaceChildren(sizeBar(sizes));
  byId("fields").replaceChildren(...fieldRows(fields));
  const limits = Object.entries(server).filter(([name, value]) => typeof value !== "object" && !OF_FILE.includes(name));
  byId("limit-fields").replaceChildren(...fieldRows(Object.fromEntries(limits)));
}

/** @param {ServerInfo} server */
function showTools(server) {
  /** @param {Panel} panel */
  const write = (panel) => showSnippets(server.encoderfile, panel);
  const panels = toolsOf(server).map((tool) => panelOf(tool, write));
  byId("tools").replaceChildren(...panels.map(({ root }) => root));
  if (panels.length > 1) showToolTabs(panels, write);
  else panels.forEach(write);
  byId("use").hidden = !panels.length;
}

/**
 * @param {Panel[]} tools
 * @param {(tool: Panel) => void} chosen
 */
function showToolTabs(tools, chosen) {
  const list = byId("tool-tabs");
  const panels = tools.map(({ root }) => root);
  const select = tabs(list, tools.map(({ title }) => title), panels, (index) => {
    panels.forEach((panel, at) => (panel.hidden = at !== index));
    chosen(tools[index]);
  });
  panels.forEach((panel, index) => {
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `${list.id}-${index}`);
  });
  list.hidden = false;
  select(0);
}

/**
 * A link cannot send a key, so with one the file is fetched and shown.
 *
 * @param {MouseEvent} event
 * @param {HTMLAnchorElement} link
 */
async function openWithKey(event, link) {
  if (!hasKey()) return;
  event.preventDefault();
  try {
    const response = await call(link.getAttribute("href") ?? "");
    const file = URL.createObjectURL(await response.blob());
    element("a", { href: file, download: link.dataset.file }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  } catch (error) {
    showProblem(error);
  }
}

/** @param {unknown} error */
function showProblem(error) {
  const words = error instanceof Error ? error.message : String(error);
  const again = element("button", { type: "button", onclick: load }, "Try again");
  byId("page-problem").replaceChildren(element("span", {}, words), again);
  byId("page-problem").hidden = false;
  if (!(error instanceof Refusal)) console.error(error);
}

async function load() {
  byId("page-problem").hidden = true;
  try {
    /** @type {ServerInfo} */
    const server = await withKey(async () => (await call("info")).json());
    showHeader(server.encoderfile);
    showContents(server);
    showTools(server);
    byId("content").hidden = false;
  } catch (error) {
    byId("model-name").textContent = "encoderfile";
    showProblem(error);
  }
}

byId("copy-snippet").addEventListener("click", () =>
  copy(byId("snippet-code").textContent ?? "", "the snippet", byId("copy-snippet")));
byId("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
/** @type {NodeListOf<HTMLAnchorElement>} */
const files = document.querySelectorAll("a[data-file]");
files.forEach((link) => link.addEventListener("click", (event) => openWithKey(event, link)));
byId("forget-key").hidden = !hasKey();
load();
