import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import { type Identity, identityVerifier } from "@behalf/core";

/** What the service says of itself, to nobody but its operator. */
export interface NotesLog {
  /** Who asked for notes, who acted, and whose notes went out. */
  readonly reads: readonly { readonly identity: Identity; readonly owner: string }[];
  readonly requests: number;
  readonly running: number;
}

/** A service that stands for any API with users of its own. */
export interface NotesService extends AsyncDisposable {
  readonly url: string;
  readonly log: NotesLog;
  /** Goes away, until the returned function is called. */
  stop(): Promise<() => Promise<void>>;
}

/** The service's own name at the issuer: tokens must be for it. */
export const NOTES = "urn:example:notes";

/** Starts it on a loopback port. It verifies each token itself, and gives everybody their own notes. */
export async function startNotesService(issuer: string): Promise<NotesService> {
  const verifier = identityVerifier({ issuers: [{ issuer }], audience: NOTES });
  const reads: { identity: Identity; owner: string }[] = [];
  let requests = 0;
  let running = 0;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const say = (status: number, body: object) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    let identity: Identity;
    try {
      identity = await verifier.verify(request.headers.authorization?.replace(/^Bearer /, ""));
    } catch {
      return say(401, { error: "unknown_token" });
    }
    const { issuer: iss, subject, actors } = identity;
    switch (request.url) {
      case "/notes": {
        const owner = `notes of ${subject}`;
        reads.push({ identity, owner });
        return say(
          200,
          [1, 2].map((id) => ({ id, owner })),
        );
      }
      case "/me":
        return say(200, { iss, sub: subject, actors: actors.map((actor) => actor.subject) });
      case "/slow": {
        running += 1;
        const timer = setTimeout(() => say(200, {}), 60_000);
        await once(response, "close");
        clearTimeout(timer);
        running -= 1;
        return undefined;
      }
      default:
        return say(404, { error: "no_such_note" });
    }
  }

  const server = createServer((request, response) => {
    requests += 1;
    void answer(request, response);
  });
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : port;
  };
  const stop = async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const port = await listen(0);
  return {
    url: `http://127.0.0.1:${port}`,
    log: {
      reads,
      get requests() {
        return requests;
      },
      get running() {
        return running;
      },
    },
    async stop() {
      await stop();
      return async () => void (await listen(port));
    },
    async [Symbol.asyncDispose]() {
      if (server.listening) await stop();
      verifier.close();
    },
  };
}
