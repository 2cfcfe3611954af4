import {
  PerRequestHTTPServerTransport,
  ProtocolErrorCode,
  type AuthInfo,
  type JSONRPCErrorResponse,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type JSONRPCResultResponse,
  type MessageClassification,
} from "@modelcontextprotocol/server";

/** The revision that the long-lived server speaks. */
export const CURRENT_REVISION = "2026-07-28";

type Answer = JSONRPCResultResponse | JSONRPCErrorResponse;

/** One request under way. */
export interface Exchange {
  /** Aborts the tool's signal. The server then answers nothing, and neither must the caller wait for it. */
  cancel(): void;
}

/** HTTP statuses of errors that the protocol layer finds before a handler runs; handlers' own are 200. */
const STATUS: ReadonlyMap<number, number> = new Map([
  [ProtocolErrorCode.ParseError, 400],
  [ProtocolErrorCode.InvalidRequest, 400],
  [ProtocolErrorCode.MethodNotFound, 404],
  [ProtocolErrorCode.UnsupportedProtocolVersion, 400],
]);

/**
 * The transport of one long-lived server. The SDK means a server and a transport for each request, which
 * costs some 650 us of CPU; here requests of all clients share one, each under an id of its own, which no
 * client knows. Nothing but requests is delivered: a `notifications/cancelled` that a client sends
 * could otherwise stop somebody else's call.
 *
 * It is a subclass because the SDK reads the era of a connection from instances of that class alone.
 */
export class SharedTransport extends PerRequestHTTPServerTransport {
  readonly #open = new Map<number, (status: number, answer: Answer) => void>();
  #nextId = 1;
  /** The request that is being delivered: what is answered meanwhile, no handler has seen. */
  #delivering: number | undefined;

  constructor() {
    super({
      classification: { era: "modern", revision: CURRENT_REVISION },
      responseMode: "json",
    });
  }

  override async start(): Promise<void> {}

  override async close(): Promise<void> {
    this.#open.clear();
    this.onclose?.();
  }

  // Not async: a promise for each answer is work that nobody needs.
  override send(message: JSONRPCMessage): Promise<void> {
    // By shape: the SDK's own guards parse the whole answer with zod, which the protocol layer has just made.
    if ("result" in message || "error" in message) {
      const { id } = message;
      const done = typeof id === "number" ? this.#open.get(id) : undefined;
      if (done !== undefined && typeof id === "number") {
        this.#open.delete(id);
        const early = "error" in message && this.#delivering === id;
        done(early ? (STATUS.get(message.error.code) ?? 200) : 200, message);
      }
    }
    return Promise.resolve();
  }

  /**
   * Hands a request to the server.
   *
   * @param request its `id` is replaced
   * @param done called once, with the client's own id in the answer; never after {@link Exchange.cancel}
   */
  exchange(
    request: JSONRPCRequest,
    classification: MessageClassification,
    authInfo: AuthInfo,
    done: (status: number, answer: Answer) => void,
  ): Exchange {
    const clientsId = request.id;
    const id = this.#nextId++;
    this.#open.set(id, (status, answer) => {
      answer.id = clientsId;
      done(status, answer);
    });
    request.id = id;
    this.#delivering = id;
    try {
      this.onmessage?.(request, { classification, authInfo });
    } catch (error) {
      this.#open.delete(id);
      throw error;
    } finally {
      this.#delivering = undefined;
    }
    return {
      cancel: () => {
        if (!this.#open.delete(id)) return;
        this.onmessage?.(
          {
            jsonrpc: "2.0",
            method: "notifications/cancelled",
            params: { requestId: id, reason: "the client went away" },
          },
          { classification },
        );
      },
    };
  }
}
