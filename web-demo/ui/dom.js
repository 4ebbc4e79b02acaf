// Finding and making elements. Text of a model, a file or a person goes into the page
// as text nodes, never as HTML.

/**
 * What an element can hold; what is nothing is left out.
 *
 * @typedef {Node | string | number | null | undefined} Child
 */

/**
 * What an attribute, a custom property or a listener can be.
 *
 * @typedef {string | number | boolean | null | undefined | ((event: any) => unknown)} Property
 */

/**
 * Checks that something is there and what it is taken for.
 *
 * @template {Element} T
 * @param {Element | null} found
 * @param {new () => T} kind
 * @param {string} what
 * @returns {T}
 */
function expected(found, kind, what) {
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} ${what}`);
  return found;
}

/**
 * The element with this id, of this kind.
 *
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 */
export function byId(id, kind = /** @type {any} */ (HTMLElement)) {
  return expected(document.getElementById(id), kind, `#${id}`);
}

/**
 * The first element inside `root` that a selector finds, of this kind.
 *
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} [kind]
 */
export function find(root, selector, kind = /** @type {any} */ (HTMLElement)) {
  return expected(root.querySelector(selector), kind, selector);
}

/**
 * A new element. `--name` sets a custom property, `onname` listens, `true` is an
 * attribute without a value.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, Property>} [properties]
 * @param {...Child} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value === false || value == null) continue;
    else if (name.startsWith("--")) made.style.setProperty(name, String(value));
    else made.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child != null) made.append(child instanceof Node ? child : String(child));
  }
  return made;
}

/**
 * What a template of the page holds.
 *
 * @param {string} id
 */
export function fromTemplate(id) {
  return /** @type {DocumentFragment} */ (byId(id, HTMLTemplateElement).content.cloneNode(true));
}

/**
 * Says something to those who do not see the page.
 *
 * @param {string} words
 */
export function announce(words) {
  byId("announcer").textContent = words;
}

/**
 * What went wrong, where the results would be.
 *
 * @param {string} words
 */
export const problem = (words) => element("p", { class: "problem", role: "alert" }, words);
