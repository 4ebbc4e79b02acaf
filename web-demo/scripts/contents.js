// The side panel: all that a model's file says of itself, and what its bytes are.

import { facts, fieldRows, sizeBar } from "../ui/contents.js";
import { byId } from "../ui/dom.js";

/** @param {import("encoderfile").Info} info */
export function showContents(info) {
  const { sizes_bytes: sizes, ...fields } = info;
  byId("sizes").replaceChildren(sizeBar(sizes));
  byId("fields").replaceChildren(...fieldRows(fields));
  byId("chips").replaceChildren(...facts(info));
}
