import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** One connection to the store, which answers commands in their order. */
export interface Connection {
  /** The store's own name for it. */
  readonly id: string;
  /** Who has it may kill the connection. */
  readonly key: string;
  readonly closed: boolean;
  /** Commands without an answer so far. */
  readonly waiting: number;
  ask<T>(...words: readonly string[]): Promise<T>;
  close(): void;
}

export class StoreError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export async function openConnection(port: number): Promise<Connection> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const ask = asker(socket);
  const { id, key } = await ask<{ id: string; key: string }>("CLIENT ID");
  return {
    id,
    key,
    get closed() {
      return socket.destroyed || !socket.writable;
    },
    get waiting() {
      return ask.waiting.length;
    },
    ask,
    close: () => void socket.destroy(),
  };
}

type Asker = Connection["ask"] & { readonly waiting: readonly unknown[] };

function asker(socket: Socket): Asker {
  const waiting: ((answer: Answer) => void)[] = [];
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) waiting.shift()?.(JSON.parse(line));
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    for (const answer of waiting.splice(0)) answer(null);
  });
  async function ask<T>(...words: readonly string[]): Promise<T> {
    const answer = await new Promise<Answer<T>>((resolve) => {
      if (!socket.writable) return resolve(null);
      waiting.push(resolve);
      socket.write(`${JSON.stringify(words)}\n`);
    });
    if (!answer) throw new Error("the connection ended");
    if (answer.error !== undefined) throw new StoreError(answer.error);
    return answer.value;
  }
  return Object.assign(ask, { waiting });
}

/** `null` where the connection ended first. */
// oxlint-disable-next-line typescript/no-explicit-any
type Answer<T = any> = { readonly value: T; readonly error?: string } | null;
