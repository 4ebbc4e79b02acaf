/**
 * Where an instance runs: here, or in a worker.
 *
 * @module
 */

import { EncoderfileError, toPlain, type PlainError } from "./error.js";
import { Instance, type Call, type Result } from "./instance.js";

/** An instance, wherever it runs. It computes one call at a time, or some that are alike. */
export interface Engine {
  /** Takes the next bytes of the file. */
  push(chunk: Uint8Array): Promise<void>;
  /** Checks the file and loads its model; gives what it says of itself, as JSON. */
  load(): Promise<string>;
  call(calls: readonly Call[]): Promise<Result[]>;
  /** Ends it, and with it whatever it is doing. */
  end(): void;
}

function fromPlain({ code, message }: PlainError): EncoderfileError {
  return new EncoderfileError(code, message);
}

/**
 * Lets whatever else waits for this thread go first.
 *
 * A message and not a timer: browsers make timers that are set in timers wait
 * for 4 ms, which is a third of what a short text takes.
 */
function othersFirst(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** An instance in this thread. */
export class LocalEngine implements Engine {
  #instance: Instance | undefined;

  static async start(module: WebAssembly.Module): Promise<LocalEngine> {
    const engine = new LocalEngine();
    // Not the constructor: engines are compiled off this thread where that is possible.
    engine.#instance = await engine.#try(() => new Instance(module));
    return engine;
  }

  push(chunk: Uint8Array): Promise<void> {
    return this.#try(() => this.#running().push(chunk));
  }

  load(): Promise<string> {
    return this.#try(() => this.#running().load());
  }

  async call(calls: readonly Call[]): Promise<Result[]> {
    await othersFirst();
    return this.#try(() => this.#running().call(calls));
  }

  end(): void {
    this.#instance = undefined;
  }

  #running(): Instance {
    if (this.#instance === undefined) throw new EncoderfileError("disposed", "this model was disposed");
    return this.#instance;
  }

  async #try<T>(compute: () => T): Promise<T> {
    try {
      return compute();
    } catch (error) {
      throw error instanceof EncoderfileError ? error : fromPlain(toPlain(error));
    }
  }
}

/** What is sent to a worker. */
export type Message =
  | { kind: "start"; module: WebAssembly.Module }
  | { kind: "push"; chunk: Uint8Array }
  | { kind: "load" }
  | { kind: "call"; calls: readonly Call[] };

/** What comes back, in the order of the messages. */
export type Reply = { value: Result[] | string | void } | { error: PlainError };

/** An instance in a worker. */
export class WorkerEngine implements Engine {
  #worker: Worker;
  #waiting: { resolve: (value: unknown) => void; reject: (error: EncoderfileError) => void }[] = [];
  #ended: EncoderfileError | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      const { resolve, reject } = this.#waiting.shift()!;
      if ("error" in data) reject(fromPlain(data.error));
      else resolve(data.value);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message || "its script could not be loaded";
      this.#end(new EncoderfileError("worker", `the worker ended: ${why}`));
    };
    worker.onmessageerror = () => {
      this.#end(new EncoderfileError("worker", "the worker was sent what it cannot read"));
    };
  }

  static async start(module: WebAssembly.Module): Promise<WorkerEngine> {
    let worker;
    try {
      // Bundlers look for exactly this expression.
      worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "encoderfile" });
    } catch (cause) {
      const advice = "serve the package from the page's own origin, or pass `worker: false`";
      throw new EncoderfileError("worker", `no worker can be started here: ${advice}`, { cause });
    }
    const engine = new WorkerEngine(worker);
    try {
      await engine.#send({ kind: "start", module });
    } catch (error) {
      engine.end();
      throw error;
    }
    return engine;
  }

  async push(chunk: Uint8Array): Promise<void> {
    await this.#send({ kind: "push", chunk }, [chunk.buffer]);
  }

  async load(): Promise<string> {
    return (await this.#send({ kind: "load" })) as string;
  }

  async call(calls: readonly Call[]): Promise<Result[]> {
    return (await this.#send({ kind: "call", calls })) as Result[];
  }

  end(): void {
    this.#end(new EncoderfileError("disposed", "this model was disposed"));
  }

  #send(message: Message, transfer: Transferable[] = []): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(message, transfer);
    });
  }

  #end(error: EncoderfileError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
