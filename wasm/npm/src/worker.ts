/**
 * The script of a worker: an instance that is told by messages what to do.
 *
 * @module
 */

import { toPlain } from "./error.js";
import type { Message, Reply } from "./engine.js";
import { Instance, type Result } from "./instance.js";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Message>) => void;
  postMessage(reply: Reply, transfer: Transferable[]): void;
};

let instance: Instance | undefined;

function handle(message: Message): Result | void {
  if (message.kind === "start") {
    instance = new Instance(message.module);
    return undefined;
  }
  if (instance === undefined) throw new Error("not started");
  switch (message.kind) {
    case "push":
      return instance.push(message.chunk);
    case "load":
      return instance.load();
    case "call":
      return instance.call(message.call);
  }
}

scope.onmessage = ({ data }) => {
  try {
    const value = handle(data);
    scope.postMessage({ value }, value instanceof Float32Array ? [value.buffer] : []);
  } catch (error) {
    scope.postMessage({ error: toPlain(error) }, []);
  }
};
