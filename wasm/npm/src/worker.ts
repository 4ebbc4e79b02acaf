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

function handle(message: Message): Result[] | string | void {
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
      return instance.call(message.calls);
  }
}

scope.onmessage = ({ data }) => {
  try {
    const value = handle(data);
    const results = Array.isArray(value) ? value : [];
    scope.postMessage({ value }, results.flatMap((result) => (result instanceof Float32Array ? [result.buffer] : [])));
  } catch (error) {
    scope.postMessage({ error: toPlain(error) }, []);
  }
};
