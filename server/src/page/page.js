// The page that `serve` shows at `/`: asks GET /info what the model can do, sends
// POST /predict, draws the results and writes the snippets.
//
// Text of the model, the server or the person goes into the page as text nodes,
// never as HTML. Offsets in a text are code points, as everywhere in encoderfile.

const base = new URL(".", document.baseURI);
const origin = base.href.replace(/\/$/, "");
const KEY = "encoderfile-api-key";
const byId = (id) => document.getElementById(id);

/** What the server or the network refused, in words. */
class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** A field of a form that the request cannot do without. */
class EmptyField extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

let info;

// ---------------------------------------------------------------- elements

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function announce(words) {
  byId("announcer").textContent = words;
}

function copyButton(what, text) {
  const button = element("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", () => copy(text(), what, button));
  return button;
}

async function copy(text, what, button) {
  const copied = await toClipboard(text);
  button.textContent = copied ? "Copied" : "Not copied";
  announce(copied ? `Copied ${what}` : `The browser did not let ${what} be copied`);
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// Over plain http from another machine browsers have no `navigator.clipboard`.
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Tabs by the pattern of the WAI-ARIA practices: one stop, arrows move. */
function tabs(list, titles, panels, chosen) {
  const select = (index, focus) => {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", at === index);
      button.tabIndex = at === index ? 0 : -1;
    });
    if (focus) buttons[index].focus();
    chosen(index, buttons[index]);
  };
  const buttons = titles.map((title, index) =>
    element("button", {
      type: "button",
      role: "tab",
      id: `${list.id}-${index}`,
      "aria-controls": panels[index].id,
      onclick: () => select(index, false),
    }, title));
  list.onkeydown = (event) => {
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const now = buttons.indexOf(document.activeElement);
    const last = buttons.length - 1;
    const next = Number.isFinite(move) ? (now + move + buttons.length) % buttons.length : move < 0 ? 0 : last;
    select(next, true);
  };
  list.replaceChildren(...buttons);
  return select;
}

// ------------------------------------------------------------------ numbers

function digits(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  if (size > 0 && size < 0.00005) return value.toExponential(1);
  return size < 100 ? value.toFixed(4) : value.toFixed(1);
}

const whole = (value) => Number(value).toLocaleString("en");
const many = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  const scaled = count / 1000 ** power;
  return `${power === 0 ? scaled : scaled.toPrecision(3)} ${units[power]}`;
}

const milliseconds = (time) => `${time < 10 ? Number(time).toFixed(1) : whole(Math.round(time))} ms`;
const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
const norm = (vector) => Math.sqrt(dot(vector, vector));
const distance = (a, b, power) => a.reduce((sum, value, index) => sum + Math.abs(value - b[index]) ** power, 0);

// As sentence-transformers: a distance is negated, so that more is more alike.
const similarities = {
  cosine: (a, b) => dot(a, b) / (norm(a) * norm(b)),
  dot,
  euclidean: (a, b) => -Math.sqrt(distance(a, b, 2)),
  manhattan: (a, b) => -distance(a, b, 1),
};

// ------------------------------------------------------------------- server

async function call(path, { body, signal } = {}) {
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

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const said = typeof body.error === "string" ? body.error : body.error?.message ?? response.statusText;
  return new Refusal(refusalWords(response, said), response.status);
}

function refusalWords(response, said) {
  switch (response.status) {
    case 401: return "The server wants a valid API key.";
    case 413: return `The request is too large. ${said}`;
    case 429: return `The server is busy. ${wait(response.headers.get("retry-after"))}`;
    case 503: return `The server is not ready or is shutting down. ${said}`;
    default: return response.status < 500 ? sentence(said) : `The server failed (${response.status}). ${sentence(said)}`;
  }
}

function wait(after) {
  if (!after) return "Try again in a moment.";
  return /^\d+$/.test(after) ? `Try again in ${many(Number(after), "second")}.` : `Try again after ${after}.`;
}

const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "No reason was given.");

function askForKey(words) {
  const dialog = byId("key-dialog");
  byId("key-problem").textContent = words;
  byId("key-problem").hidden = !words;
  byId("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  byId("key").focus();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "use" ? byId("key").value.trim() : "");
    dialog.addEventListener("close", closed, { once: true });
  });
}

/** Repeats `attempt` with a key from the person for as long as the server wants one. */
async function withKey(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      const key = await askForKey(sessionStorage.getItem(KEY) ? "That key was not accepted." : "");
      if (!key) throw problem;
      sessionStorage.setItem(KEY, key);
      byId("forget-key").hidden = false;
    }
  }
}

// -------------------------------------------------------------------- forms

function needed(form, name, message) {
  const field = form.elements[name];
  if (!field.value.trim()) throw new EmptyField(field, message);
  return field.value;
}

function neededLines(form, name, message) {
  const lines = needed(form, name, message).split("\n").map((line) => line.trim()).filter(Boolean);
  const most = info.max_client_batch_size;
  if (most && lines.length > most) {
    throw new EmptyField(form.elements[name], `${many(lines.length, "line")}: this server takes ${most} at once.`);
  }
  return lines;
}

const listed = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

function positive(form, name) {
  const field = form.elements[name];
  if (!field.value && !field.validity.badInput) return {};
  if (!field.validity.valid) throw new EmptyField(field, `${field.labels[0].firstChild.data.trim()}: a whole number of at least 1.`);
  return { [name]: Number(field.value) };
}

const chosenPrompt = (form) => JSON.parse(form.elements.prompt.value || "{}");

/** Each choice of prompt is the part of the request that makes it. */
function fillPrompts(form) {
  const { prompts = {}, default_prompt: usual } = info.encoderfile;
  const names = Object.keys(prompts);
  if (!names.length) return;
  const option = (title, part) => element("option", { value: JSON.stringify(part) }, title);
  const spelled = (name) => `${name}: “${prompts[name]}”`;
  form.elements.prompt.append(
    option(usual ? `As the model says (${usual})` : "As the model says (none)", {}),
    element("optgroup", { label: "What the texts are" },
      option("Queries", { role: "query" }), option("Documents", { role: "document" })),
    element("optgroup", { label: "By name" },
      ...names.map((name) => option(spelled(name), { prompt_name: name })), option("None", { prompt: "" })));
  form.querySelector("[data-prompts]").hidden = false;
}

// ------------------------------------------------------------------ results

/** Rows of `{label, value, aside?, title?}`; a bar of `full` is as long as can be. */
function bars(rows, full) {
  const row = ({ label, value, aside, title, ranked }) =>
    element("li", { title },
      ranked && element("span", { class: "rank" }, ranked),
      element("span", { class: "bar-label" }, label, aside == null ? null : element("small", {}, ` ${aside}`)),
      element("span", { class: value < 0 ? "track below" : "track", "aria-hidden": "true" },
        element("span", { class: "fill", "--part": Math.min(Math.abs(value) / full, 1) || 0 })),
      element("span", { class: "number" }, digits(value)));
  return element("ol", { class: "bars" }, ...rows.map(row));
}

/** Probabilities fill a bar at 1; other scores at the largest of them. */
function fullBar(values) {
  const isProbability = values.every((value) => value >= 0 && value <= 1);
  return isProbability ? 1 : Math.max(...values.map(Math.abs));
}

const best = (rows) => rows.sort((a, b) => b.value - a.value);

/** The best twenty at once, the others on demand: some models have a thousand labels. */
function scored(rows) {
  const full = fullBar(rows.map((row) => row.value));
  const [first, others] = [rows.slice(0, 20), rows.slice(20)];
  if (!others.length) return bars(first, full);
  return element("div", {}, bars(first, full),
    element("details", { class: "others" }, element("summary", {}, many(others.length, "other")), bars(others, full)));
}

function cuts(results) {
  const cut = results
    .map((result, index) => ({ ...result, place: result.index ?? index }))
    .filter((result) => result.tokens_used < result.tokens_total)
    .map((result) => element("li", {}, cutWords(result, results.length)));
  return cut.length ? element("ul", { class: "notice" }, ...cut) : null;
}

function cutWords({ place, tokens_total: total, tokens_used: used }, count) {
  const which = count > 1 ? `Text ${place + 1}` : "The text";
  return `${which} was cut: the model read ${whole(used)} of its ${whole(total)} tokens.`;
}

function heatMap(texts, rows) {
  const values = rows.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const heat = (value) => (high > low ? (value - low) / (high - low) : 1);
  const shown = (value) => (Number.isFinite(value) ? (Math.abs(value) < 100 ? value.toFixed(2) : value.toFixed(0)) : "–");
  const heading = (index, scope) =>
    element("th", { scope, title: texts[index] },
      element("span", { class: "heading" }, element("b", {}, index + 1), ` ${texts[index]}`));
  const cell = (value, row, column) =>
    element("td", { class: "heat", "--heat": heat(value) || 0, title: `${row + 1} and ${column + 1}: ${digits(value)}` }, shown(value));
  const head = element("tr", {}, element("td"), ...texts.map((_, index) => heading(index, "col")));
  const body = rows.map((row, at) =>
    element("tr", {}, heading(at, "row"), ...row.map((value, column) => cell(value, at, column))));
  const caption = element("caption", { class: "unseen" }, "Similarity of each text to each");
  const box = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Similarities" },
    element("table", { class: "matrix" }, caption, element("thead", {}, head), element("tbody", {}, ...body)));
  const legend = element("p", { class: "hint legend" }, `${info.encoderfile.similarity ?? "cosine"} similarity`,
    element("span", { class: "ends" }, shown(low), element("span", { class: "ramp", "aria-hidden": "true" }), shown(high)));
  return element("figure", {}, box, legend);
}

function vectorDetails(text, vector) {
  const written = JSON.stringify(vector);
  return element("li", {},
    element("details", {},
      element("summary", {}, element("span", { class: "clip" }, text),
        element("small", {}, `${vector.length} numbers, norm ${norm(vector).toFixed(3)}`)),
      element("code", { class: "vector", tabindex: 0 }, written)),
    copyButton(`the vector of “${text}”`, () => written));
}

const withoutPosition = (label) => label.replace(/^[BIESLU]-/, "");

function kindOf(label) {
  const kinds = [...new Set((info.encoderfile.labels ?? []).map(withoutPosition))].filter((kind) => kind !== "O");
  return `kind kind-${Math.max(kinds.indexOf(withoutPosition(label)), 0) % 8}`;
}

const labelOf = (entity) => entity.entity_group ?? entity.entity;

function marked(text, entities) {
  const points = Array.from(text);
  const pieces = [];
  let end = 0;
  for (const entity of entities.filter((entity) => entity.end > entity.start).sort((a, b) => a.start - b.start)) {
    if (entity.start < end) continue;
    const label = labelOf(entity);
    pieces.push(points.slice(end, entity.start).join(""),
      element("mark", { class: kindOf(label), title: `${label} ${digits(entity.score)}` },
        points.slice(entity.start, entity.end).join(""), element("span", { class: "kind-name" }, label)));
    end = entity.end;
  }
  return element("p", { class: "marked" }, ...pieces, points.slice(end).join(""));
}

function spanTable(text, entities) {
  const points = Array.from(text);
  const row = (entity) =>
    element("tr", {},
      element("td", {}, points.slice(entity.start, entity.end).join("")),
      element("td", {}, element("span", { class: kindOf(labelOf(entity)) }, labelOf(entity))),
      element("td", { class: "number" }, digits(entity.score)),
      element("td", { class: "number" }, `${entity.start}–${entity.end}`));
  const heads = ["Span", "Label", "Score", "Code points"].map((title) => element("th", { scope: "col" }, title));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Spans" },
    element("table", { class: "spans" }, element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...entities.map(row))));
}

function tokenChips(tokens) {
  const norms = tokens.map((token) => norm(token.embedding));
  const [low, high] = [Math.min(...norms), Math.max(...norms)];
  const detail = element("ul", { class: "vectors" });
  const chips = tokens.map((token, index) => {
    const chip = element("button", {
      type: "button",
      class: "token heat",
      "aria-pressed": "false",
      "--heat": high > low ? (norms[index] - low) / (high - low) : 0,
      title: `id ${token.token_info.token_id}, code points ${token.token_info.start}–${token.token_info.end}`,
    }, token.token_info.token, element("small", {}, norms[index].toFixed(2)));
    chip.addEventListener("click", () => {
      chips.forEach((other) => other.setAttribute("aria-pressed", other === chip));
      detail.replaceChildren(vectorDetails(token.token_info.token, token.embedding));
      detail.querySelector("details").open = true;
    });
    return chip;
  });
  return [element("p", { class: "hint" }, "Each token with the norm of its vector. Choose one to see the vector."),
    element("div", { class: "tokens" }, ...chips), detail];
}

// -------------------------------------------------------------------- tools

const labelAt = (index) => info.encoderfile.labels?.[index] ?? `LABEL_${index}`;
const isPairModel = () => info.encoderfile.capabilities.some((it) => it === "zero_shot" || it === "rerank");

// The request for a mask must hold the mask token, which differs by tokenizer.
function maskToken() {
  const { mask_token: said, architecture = "" } = info.encoderfile;
  const isAngled = /^(xlm-?)?(roberta|camembert|mpnet|esm|ibert|data2vec)/i.test(architecture);
  return said ?? (isAngled ? "<mask>" : "[MASK]");
}

/** Words for the entries of the vocabulary, or none: the numbers stand without them. */
async function decoded(indices, signal) {
  try {
    const response = await call("decode", { body: { ids: indices.map((index) => [index]), skip_special_tokens: false }, signal });
    return await response.json();
  } catch {
    return [];
  }
}

/**
 * By capability: `prepare` fills the form, `request` reads it into the body of
 * /predict, `show` draws the results, and `said` is the result in a sentence.
 */
const tools = {
  embed: {
    title: "Compare texts",
    prepare: fillPrompts,
    request: (form) => ({
      inputs: neededLines(form, "texts", "Write at least one text."),
      ...chosenPrompt(form),
      ...positive(form, "dimensions"),
    }),
    show(results, { inputs }) {
      const vectors = results.map((result) => result.embedding);
      const similarity = similarities[info.encoderfile.similarity] ?? similarities.cosine;
      const rows = vectors.map((a) => vectors.map((b) => similarity(a, b)));
      return [heatMap(inputs, rows), element("h3", {}, "Vectors"),
        element("ul", { class: "vectors" }, ...vectors.map((vector, index) => vectorDetails(inputs[index], vector)))];
    },
    said: (results) => many(results.length, "text"),
  },

  rerank: {
    title: "Rank documents",
    request: (form) => ({
      query: needed(form, "query", "Write a query.").trim(),
      inputs: neededLines(form, "documents", "Write at least one document."),
    }),
    show: (results, { inputs }) => [
      scored(results.map(({ index, score }, place) => ({ label: inputs[index], value: score, ranked: place + 1 }))),
    ],
    said: (results) => `Best: document ${results[0].index + 1}`,
  },

  classify: {
    title: "Classify",
    prepare(form) {
      if (!isPairModel()) return;
      form.elements.text.defaultValue = "A man is playing a guitar on a stage.";
      form.elements.text_pair.defaultValue = "Somebody is making music.";
    },
    request(form) {
      const text = needed(form, "text", "Write a text.");
      const pair = form.elements.text_pair.value;
      return { inputs: [pair.trim() ? { text, text_pair: pair } : text] };
    },
    show: ([{ scores }]) => [scored(best(scores.map((value, index) => ({ label: labelAt(index), value }))))],
    said: ([{ predicted_label: label }]) => label,
  },

  zero_shot: {
    title: "Zero-shot",
    request(form) {
      const text = needed(form, "text", "Write a text.");
      const labels = listed(needed(form, "labels", "Write the labels to choose from."));
      const template = form.elements.template.value.trim();
      return {
        inputs: [text],
        labels,
        ...(template && { template }),
        ...(form.elements.multi_label.checked && { multi_label: true }),
      };
    },
    show: ([{ labels, scores }]) => [scored(labels.map((label, index) => ({ label, value: scores[index] })))],
    said: ([{ labels }]) => `Best: ${labels[0]}`,
  },

  entities: {
    title: "Find entities",
    request: (form) => ({
      inputs: [needed(form, "text", "Write a text.")],
      aggregation: form.elements.aggregation.value,
    }),
    show: ([{ entities }], { inputs }) => [marked(inputs[0], entities), entities.length ? spanTable(inputs[0], entities) : null],
    said: ([{ entities }]) => (entities.length ? many(entities.length, "span") : "Nothing was found"),
  },

  fill_mask: {
    title: "Fill in words",
    prepare(form) {
      const mask = maskToken();
      const text = form.elements.text;
      text.defaultValue = text.defaultValue.replace("[MASK]", mask);
      form.querySelector("[data-mask]").textContent = mask;
    },
    request(form) {
      const targets = listed(form.elements.targets.value);
      return {
        inputs: [needed(form, "text", `Write a text with ${maskToken()} in it.`)],
        ...positive(form, "top_k"),
        ...(targets.length && { targets }),
      };
    },
    show: ([{ masks }]) => masks.flatMap((fillings, index) => [
      masks.length > 1 ? element("h3", {}, `Mask ${index + 1}`) : null,
      scored(fillings.map((it) => ({ label: it.token_str, value: it.score, title: it.sequence }))),
    ]),
    said: ([{ masks }]) => `Likeliest: ${masks.map((fillings) => fillings[0]?.token_str.trim()).join(", ")}`,
  },

  sparse: {
    title: "Weigh words",
    prepare: fillPrompts,
    request: (form) => ({
      inputs: [needed(form, "text", "Write a text.")],
      ...chosenPrompt(form),
      ...positive(form, "top_k"),
    }),
    async show([{ sparse_embedding: weights }], _, signal) {
      const largest = best(weights.slice());
      const words = await decoded(largest.map(({ index }) => index), signal);
      const rows = largest.map(({ index, value }, at) => words[at]
        ? { label: words[at], aside: index, value }
        : { label: String(index), value });
      return [bars(rows, largest[0]?.value)];
    },
    said: ([{ sparse_embedding: weights }]) => many(weights.length, "weight"),
  },

  token_embeddings: {
    title: "See tokens",
    request: (form) => ({
      inputs: [needed(form, "text", "Write a text.")],
      ...(info.encoderfile.task === "sentence_embedding" && { unpooled: true }),
      ...(form.elements.special_tokens.checked && { special_tokens: true }),
    }),
    show: ([{ embeddings }]) => tokenChips(embeddings),
    said: ([{ embeddings }]) => many(embeddings.length, "token"),
  },
};

/** A tool on the page: its form, its status line, its results, its last request. */
function toolPanel(capability) {
  const form = byId(`tool-${capability}`).content.cloneNode(true).firstElementChild;
  form.append(byId("run").content.cloneNode(true));
  form.noValidate = true;
  if (/Mac|iPhone|iPad/.test(navigator.platform)) form.querySelector("[data-modifier]").textContent = "⌘";
  const results = element("div", { class: "results", role: "region", "aria-label": "Results" });
  const panel = element("div", { id: `panel-${capability}`, class: "tool" }, form, results);
  const tool = { ...tools[capability], capability, form, results, panel, status: form.querySelector(".status") };
  tool.prepare?.(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(tool);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run(tool);
    }
  });
  form.addEventListener("input", () => writeSnippets(tool));
  return tool;
}

let running;

/** Sends what the form says; a run that is still under way is aborted. */
async function run(tool) {
  running?.abort();
  const { signal } = (running = new AbortController());
  begin(tool);
  try {
    const body = tool.request(tool.form);
    tool.status.textContent = "Running…";
    const [drawn, words] = await withKey(() => predict(tool, body, signal));
    if (signal.aborted) return;
    tool.results.replaceChildren(...drawn.filter(Boolean));
    tool.status.textContent = words;
  } catch (problem) {
    if (!signal.aborted) complain(tool, problem);
  } finally {
    if (!signal.aborted) tool.panel.removeAttribute("aria-busy");
  }
}

function begin(tool) {
  document.querySelectorAll(".tool[aria-busy]").forEach((panel) => {
    panel.removeAttribute("aria-busy");
    panel.querySelector(".status").textContent = "";
  });
  tool.panel.setAttribute("aria-busy", "true");
  tool.form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
}

async function predict(tool, body, signal) {
  const start = performance.now();
  const response = await call("predict", { body, signal });
  const { results } = await response.json();
  const words = [tool.said(results), ...costs(response.headers, performance.now() - start)].join(" · ");
  const shown = await tool.show(results, body, signal);
  return [[cuts(results), ...shown], words];
}

function costs(headers, elapsed) {
  const tokens = headers.get("x-compute-tokens");
  const inference = headers.get("x-inference-time");
  return [
    tokens && many(Number(tokens), "token"),
    inference && `${milliseconds(Number(inference))} in the model`,
    `${milliseconds(elapsed)} in all`,
  ].filter(Boolean);
}

function complain(tool, problem) {
  if (problem instanceof EmptyField) {
    problem.field.setAttribute("aria-invalid", "true");
    problem.field.focus();
  }
  const isOurs = problem instanceof Refusal || problem instanceof EmptyField;
  const words = isOurs ? problem.message : `The answer could not be shown: ${problem.message}`;
  tool.status.textContent = "";
  tool.results.replaceChildren(element("p", { class: "problem", role: "alert" }, words));
  if (!isOurs) console.error(problem);
}

// ----------------------------------------------------------------- snippets

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const json = (value) => JSON.stringify(value, null, 2);
const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

/** A value as Python writes it; strings of JSON are strings of Python. */
function python(value, indent = 0) {
  const pad = " ".repeat(indent + 4);
  const close = " ".repeat(indent);
  if (Array.isArray(value)) {
    return `[\n${value.map((item) => `${pad}${python(item, indent + 4)},\n`).join("")}${close}]`;
  }
  if (value && typeof value === "object") {
    const items = Object.entries(value).map(([name, item]) => `${pad}"${name}": ${python(item, indent + 4)},\n`);
    return `{\n${items.join("")}${close}}`;
  }
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
}

const hasKey = () => Boolean(sessionStorage.getItem(KEY));

function curl(path, body) {
  const authorization = hasKey() ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "";
  return `curl ${origin}/${path} \\\n  -H 'Content-Type: application/json'${authorization} \\\n  -d ${quoted(json(body))}`;
}

const openaiBody = ({ inputs, dimensions }) =>
  ({ model: info.encoderfile.name, input: inputs, ...(dimensions && { dimensions }) });

// OpenAI's request has no field for a prompt.
const promptRemark = (body) =>
  "role" in body || "prompt" in body || "prompt_name" in body ? "# OpenAI's API has no prompts: the model's usual one is used.\n" : "";

function pythonOpenai(body) {
  const values = Object.entries(openaiBody(body)).map(([name, value]) => `    ${name}=${python(value, 4)},\n`);
  const key = hasKey() ? `os.environ["API_KEY"]` : `"none"`;
  return `# pip install openai\n${promptRemark(body)}${hasKey() ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key=${key})
response = client.embeddings.create(
${values.join("")})
vectors = [item.embedding for item in response.data]`;
}

function javascript(body) {
  const authorization = hasKey() ? `\n    Authorization: \`Bearer \${apiKey}\`,` : "";
  return `const response = await fetch("${origin}/predict", {
  method: "POST",
  headers: {
    "Content-Type": "application/json",${authorization}
  },
  body: JSON.stringify(${indented(json(body), 2)}),
});
if (!response.ok) throw new Error((await response.json()).error);
const { results } = await response.json();`;
}

function pythonRequests(body) {
  const headers = hasKey() ? `\n    headers={"Authorization": f"Bearer {os.environ['API_KEY']}"},` : "";
  return `# pip install requests\n${hasKey() ? "import os\n\n" : ""}import requests

response = requests.post(
    "${origin}/predict",${headers}
    json=${python(body, 4)},
)
response.raise_for_status()
results = response.json()["results"]`;
}

/** The call of `huggingface_hub` that makes this request, if there is one. */
function hubCall(capability, body) {
  const [text] = body.inputs;
  const calls = {
    embed: () => "role" in body || "prompt" in body ? null
      : ["feature_extraction", body.inputs, { prompt_name: body.prompt_name, dimensions: body.dimensions }],
    classify: () => typeof text === "string" ? ["text_classification", text, {}] : null,
    zero_shot: () => ["zero_shot_classification", text,
      { candidate_labels: body.labels, hypothesis_template: body.template, multi_label: body.multi_label }],
    entities: () => ["token_classification", text, { aggregation_strategy: body.aggregation }],
    fill_mask: () => ["fill_mask", text, { targets: body.targets, top_k: body.top_k }],
  };
  return calls[capability]?.() ?? null;
}

function pythonHub([method, input, options]) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const values = given.map(([name, value]) => `    ${name}=${python(value, 4)},\n`);
  const token = hasKey() ? `, token=os.environ["API_KEY"]` : "";
  const packages = method === "feature_extraction" ? "huggingface_hub numpy" : "huggingface_hub";
  return `# pip install ${packages}\n${hasKey() ? "import os\n\n" : ""}from huggingface_hub import InferenceClient

client = InferenceClient("${origin}"${token})
result = client.${method}(
    ${python(input, 4)},
${values.join("")})`;
}

/** The gRPC service of each task, for requests of plain texts. */
const grpcServices = {
  sentence_embedding: "sentence_embedding.SentenceEmbeddingInference",
  sequence_classification: "sequence_classification.SequenceClassificationInference",
  token_classification: "token_classification.TokenClassificationInference",
  embedding: "embedding.EmbeddingInference",
};

const hasGrpc = ({ inputs, unpooled, query, labels }) =>
  info.encoderfile.task in grpcServices && !unpooled && !query && !labels
  && inputs.every((input) => typeof input === "string");

function grpcurl({ inputs }) {
  const authorization = hasKey() ? ` -H "authorization: Bearer $API_KEY"` : "";
  const plain = location.protocol === "https:" ? "" : " -plaintext";
  return `grpcurl${plain}${authorization} \\
  -d ${quoted(json({ inputs }))} \\
  ${location.hostname}:50051 encoderfile.${grpcServices[info.encoderfile.task]}/Predict`;
}

function commandLine(body) {
  const { inputs, ...options } = body;
  const value = (it) => quoted(Array.isArray(it) ? it.join(",") : String(it));
  const flags = Object.entries(options).map(([name, it]) => `--${name.replaceAll("_", "-")}${it === true ? "" : ` ${value(it)}`}`);
  const texts = inputs.map((input) => quoted(input.text ?? input));
  const pairs = inputs.filter((input) => input.text_pair).map((input) => `--pair ${quoted(input.text_pair)}`);
  const end = texts.some((text) => text.startsWith("'-")) ? ["--"] : [];
  return ["./model.encoderfile infer", ...flags, ...pairs, ...end, ...texts].join(" \\\n  ");
}

function snippets(capability, body) {
  const hub = hubCall(capability, body);
  const embeds = capability === "embed";
  return [
    ["curl", curl("predict", body)],
    embeds && ["curl, OpenAI", promptRemark(body) + curl("v1/embeddings", openaiBody(body))],
    embeds && ["Python, openai", pythonOpenai(body)],
    hub && ["Python, huggingface_hub", pythonHub(hub)],
    !hub && ["Python, requests", pythonRequests(body)],
    ["JavaScript", javascript(body)],
    hasGrpc(body) && ["gRPC", grpcurl(body)],
    ["Command line", commandLine(body)],
  ].filter(Boolean);
}

let snippetShown = "curl";

/** A form that lacks something keeps the snippets it had. */
function writeSnippets(tool) {
  let body;
  try {
    body = tool.request(tool.form);
  } catch {
    return;
  }
  const written = snippets(tool.capability, body);
  const titles = written.map(([title]) => title);
  const panel = byId("snippet");
  const select = tabs(byId("snippet-tabs"), titles, titles.map(() => panel), (index, button) => {
    snippetShown = titles[index];
    panel.setAttribute("aria-labelledby", button.id);
    byId("snippet-code").textContent = written[index][1];
  });
  select(Math.max(titles.indexOf(snippetShown), 0), false);
}

// ----------------------------------------------------------------- contents

const taskWords = {
  sentence_embedding: "Sentence embeddings: one vector for each text",
  embedding: "Token embeddings: one vector for each token of a text",
  sparse_embedding: "Sparse embeddings: weights for the words of the vocabulary",
  sequence_classification: "Text classification: a score for each label",
  token_classification: "Token classification: finds and labels parts of a text",
  fill_mask: "Masked language model: fills in missing words",
};

function taskInWords({ task, capabilities }) {
  if (capabilities.includes("rerank")) return "Reranking: how well a text answers a query";
  if (capabilities.includes("zero_shot")) return "Natural language inference, and with it classification by labels of your own";
  return taskWords[task] ?? task;
}

function chips({ architecture, weights, max_tokens: tokens, output = "", labels, task, version }) {
  const width = /^\d+/.exec(output)?.[0];
  const hasVectors = task === "sentence_embedding" || task === "embedding";
  return [
    architecture,
    weights && `${weights} weights`,
    tokens && `${many(tokens, "token")} at most`,
    hasVectors && width && many(Number(width), "dimension"),
    labels?.length && many(labels.length, "label"),
    version && `version ${version}`,
  ].filter(Boolean);
}

/** Fields whose name alone does not say what they are: title, and what it is for. */
const fieldTitles = {
  name: ["Name"],
  built_by: ["Built by"],
  license: ["Licence"],
  max_tokens: ["Longest text", "in tokens"],
  max_tokens_source: ["Said by"],
  weights: ["Weights stored as"],
  compute: ["Computed in", "of products with large matrices"],
  worst_cosine: ["Worst cosine", "of results to those with float32 throughout"],
  payload_digest: ["Payload digest", "of everything in the file but the program"],
  embedding_space_id: ["Embedding space", "the same in files whose vectors can be compared"],
  source_sha256: ["Source SHA-256", "of the model file it was built from"],
  sizes_bytes: ["Sizes"],
};

function fieldRow([name, value]) {
  const [title, purpose] = fieldTitles[name] ?? [sentence(name.replaceAll("_", " "))];
  return element("div", {},
    element("dt", {}, title),
    element("dd", {}, fieldValue(name, value), purpose && element("small", {}, purpose)));
}

function fieldValue(name, value) {
  if (name === "sizes_bytes") return pairs({ ...value, total: Object.values(value).reduce((a, b) => a + b, 0) }, bytes);
  if (value === null || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? whole(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return list(value.map((item) => (typeof item === "object" ? JSON.stringify(item) : String(item))));
  if (typeof value === "object") return pairs(value, (it) => (typeof it === "string" ? `“${it}”` : JSON.stringify(it)));
  return /^[0-9a-f]{32,}$/.test(value) ? hash(name, value) : value;
}

function hash(name, value) {
  return element("span", { class: "hash" },
    element("code", { title: value }, `${value.slice(0, 6)}…${value.slice(-6)}`), copyButton(name.replaceAll("_", " "), () => value));
}

function pairs(fields, written) {
  const rows = Object.entries(fields);
  if (!rows.length) return "none";
  return element("ul", { class: "pairs" }, ...rows.map(([name, value]) =>
    element("li", {}, element("span", {}, name.replaceAll("_", " ")), element("span", {}, written(value)))));
}

function list(items) {
  if (!items.length) return "none";
  const all = element("ul", { class: "chips small" }, ...items.map((item) => element("li", {}, item)));
  return items.length <= 24 ? all : element("details", {}, element("summary", {}, `${whole(items.length)} of them`), all);
}

function showContents() {
  const { encoderfile: contents, ...server } = info;
  byId("fields").replaceChildren(...Object.entries(contents).map(fieldRow));
  const isLimit = ([name, value]) => typeof value !== "object" && !["model_id", "model_sha", "model_dtype"].includes(name);
  byId("limit-fields").replaceChildren(...Object.entries(server).filter(isLimit).map(fieldRow));
}

function showHeader() {
  const { encoderfile: contents } = info;
  document.title = `${contents.name} · encoderfile`;
  byId("model-name").textContent = contents.name;
  byId("model-task").textContent = taskInWords(contents);
  byId("chips").replaceChildren(...chips(contents).map((words) => element("li", {}, words)));
}

function showTools() {
  const shown = Object.keys(tools).filter((capability) => info.encoderfile.capabilities.includes(capability)).map(toolPanel);
  byId("tools").replaceChildren(...shown.map(({ panel }) => panel));
  if (shown.length > 1) showToolTabs(shown);
  if (shown.length) writeSnippets(shown[0]);
  byId("use").hidden = !shown.length;
}

function showToolTabs(shown) {
  const panels = shown.map(({ panel }) => panel);
  const select = tabs(byId("tool-tabs"), shown.map(({ title }) => title), panels, (chosen) => {
    panels.forEach((panel, index) => (panel.hidden = index !== chosen));
    writeSnippets(shown[chosen]);
  });
  panels.forEach((panel, index) => {
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tool-tabs-${index}`);
  });
  byId("tool-tabs").hidden = false;
  select(0, false);
}

// -------------------------------------------------------------------- start

// A link cannot send a key, so with one the file is fetched and shown.
async function openWithKey(event) {
  if (!hasKey()) return;
  event.preventDefault();
  const link = event.currentTarget;
  try {
    const response = await call(link.getAttribute("href"));
    const file = URL.createObjectURL(await response.blob());
    element("a", { href: file, download: link.dataset.file }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  } catch (problem) {
    showProblem(problem.message);
  }
}

function showProblem(words) {
  const again = element("button", { type: "button", onclick: load }, "Try again");
  byId("page-problem").replaceChildren(element("span", {}, words), again);
  byId("page-problem").hidden = false;
}

async function load() {
  byId("page-problem").hidden = true;
  try {
    info = await withKey(async () => (await call("info")).json());
  } catch (problem) {
    byId("model-name").textContent = "encoderfile";
    showProblem(problem.message);
    return;
  }
  showHeader();
  showContents();
  showTools();
  byId("content").hidden = false;
}

byId("copy-snippet").addEventListener("click", (event) =>
  copy(byId("snippet-code").textContent, "the snippet", event.currentTarget));
byId("forget-key").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});
document.querySelectorAll("a[data-file]").forEach((link) => link.addEventListener("click", openWithKey));
byId("forget-key").hidden = !hasKey();
load();
