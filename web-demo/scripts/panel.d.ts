// What all panels are to the page.

import type { Encoderfile } from "encoderfile";
import type { Meter } from "./meter.js";

/** What brings the form of one kind of model to life. */
export interface Panel {
  setModel(model: Encoderfile): void;
  setPassages(passages: string[]): void;
  end(): void;
}

/** Makes one of the element that has its template. */
export type StartPanel = (root: HTMLElement, meter: Meter) => Panel;

/** A passage and, once it is known, its score. */
export interface Hit {
  index: number;
  text: string;
  value?: number;
}
