// Making and finding elements. Text of a model, a file or the reader goes into the
// page as text nodes, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element; `--name` sets a custom property, `onname` listens, `true` is a bare attribute. */
export function element(tag, properties = {}, ...children) {
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

/** An element of a drawing. */
export function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** What a template of the page holds. */
export const fromTemplate = (id) => byId(id).content.cloneNode(true);

/** Says something to those who do not see the page. */
export function announce(words) {
  byId("announcer").textContent = words;
}

/** Calls `run` once it has not been called for so many milliseconds. */
export function debounced(run, wait) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, wait);
  };
}

/** A button that copies a text, and says whether it could. */
export function copyButton(what, text) {
  const button = element("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    button.textContent = copied ? "Copied" : "Not copied";
    announce(copied ? `Copied ${what}` : `The browser did not let ${what} be copied`);
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
