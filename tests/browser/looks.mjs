// What holds of every page, however wide and in whichever colours.

import assert from "node:assert/strict";

export async function noSidewaysScroll(page, where) {
  const [content, view] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(content <= view, `${where}: the page is ${content} wide in ${view}`);
}

/** Every visible text against what is behind it, by WCAG 2 AA. */
export async function contrast(page, where) {
  const low = await page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = ([r, g, b]) =>
      [r, g, b]
        .map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const color = rgba(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const low = new Set();
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      // Text of drawings has no background that could be asked for.
      if (!text || !node.checkVisibility() || node.closest(".unseen, option, noscript, svg, .skip")) continue;
      const [a, b] = [luminance(rgba(getComputedStyle(node).color)), luminance(behind(node))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) low.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)} "${text.slice(0, 20)}"`);
    }
    return [...low];
  });
  assert.deepEqual(low, [], `${where}: contrast`);
}

/** Whatever can be operated says what it is to those who do not see it. */
export async function everyControlHasAName(page, where) {
  const lines = (await page.locator("body").ariaSnapshot()).split("\n");
  const roles = /^\s*- '?(button|textbox|searchbox|link|application|combobox|checkbox|progressbar|table|list|region)\b(.*)$/;
  const needed = new Set(["button", "textbox", "searchbox", "link", "application", "region"]);
  const unnamed = lines.filter((line) => {
    const [, role, rest] = roles.exec(line) ?? [];
    return needed.has(role) && !/^ "(?!")/.test(rest);
  });
  assert.deepEqual(unnamed, [], `${where}: controls without a name`);
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
    return ids.filter((id, at) => ids.indexOf(id) !== at);
  });
  assert.deepEqual(twice, [], `${where}: ids that are there twice`);
}
