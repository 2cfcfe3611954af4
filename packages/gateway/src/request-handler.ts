import type { IncomingMessage, ServerResponse } from "node:http";

import { BehalfError } from "@behalf/core";
import { isJsonContentType } from "@modelcontextprotocol/server";

import { bearerToken, refusal } from "./bearer.ts";
import { callerOf, type Caller } from "./caller.ts";
import type { GatewayLimits, GatewayOptions } from "./gateway-options.ts";
import { answer, answerError } from "./http-answer.ts";
import { readBody } from "./http-body.ts";
import { allowReading, answerPreflight, isPreflight } from "./http-cors.ts";
import { guard } from "./http-guard.ts";
import { builtInTools } from "./built-in-tools.ts";
import { inFlight } from "./in-flight.ts";
import { mcpEndpoint } from "./mcp-endpoint.ts";
import { standardHeaders, type StandardHeaders } from "./mcp-headers.ts";
import { mcpServers } from "./mcp-server.ts";
import { readiness } from "./readiness.ts";
import { resourceMetadata } from "./resource-metadata.ts";
import { toolSet } from "./tool-list.ts";
import { toolRunner } from "./tool-runner.ts";
import { VERSION } from "./version.ts";

const INSTRUCTIONS =
  "You query a PostgreSQL database as the human on whose behalf you act: you see and may do exactly what that human may. Start with describe_tables.";
/** How many requests may wait for the proof of their human to be looked at. */
const MAX_UNPROVEN = 64;
const PARSE_ERROR = -32_700;
const INTERNAL_ERROR = -32_603;

export interface RequestHandler {
  readonly handle: (req: IncomingMessage, res: ServerResponse) => void;
  /** Refuses what is new, waits for what runs, and cancels what runs longer. */
  drain(milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

export async function requestHandler(
  options: GatewayOptions,
  limits: GatewayLimits,
): Promise<RequestHandler> {
  const { front, log = () => {} } = options;
  const resource = resourceMetadata(options);
  const { allowsHost, allowsOrigin } = guard(
    resource,
    options.allowedHosts ?? [],
    options.allowedOrigins ?? [],
  );
  const tools = toolSet([...builtInTools(options.builtIn ?? {}, limits), ...(options.tools ?? [])]);
  const servers = mcpServers({
    name: options.name ?? "behalf-gateway",
    version: VERSION,
    instructions: options.instructions ?? INSTRUCTIONS,
    tools,
    run: toolRunner({
      tools,
      authored: new Set((options.tools ?? []).map(({ name }) => name)),
      database: options.database,
      deadlineMs: limits.deadlineMs,
      log,
    }),
  });
  const endpoint = await mcpEndpoint(servers, (error) =>
    log({ level: "error", event: "protocol", message: error.name }),
  );
  const ready = readiness(options.ready ?? (async () => {}), (error) =>
    log({
      level: "error",
      event: "not_ready",
      message: error instanceof Error ? error.message : typeof error,
    }),
  );
  const running = inFlight(limits.requestsPerHuman);

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (hasTwice(req)) return answerError(res, 400, "a header stands there twice");
    const path = pathOf(req.url ?? "/");
    // Probes come by an address, not by a name, and learn nothing but one word.
    if (path === "/healthz") return status(req, res, true);
    if (path === "/readyz") return status(req, res, !running.isDraining && (await ready.isReady()));
    if (!allowsHost(req.headers.host)) {
      return answerError(res, 403, "this Host is not allowed here; see allowedHosts");
    }
    if (!allowsOrigin(req.headers.origin)) {
      return answerError(res, 403, "this Origin is not allowed here; see allowedOrigins");
    }
    const { origin } = req.headers;
    if (origin !== undefined) allowReading(res, origin);
    if (isPreflight(req)) return answerPreflight(res);
    if (resource.paths.has(path)) {
      if (!isRead(req)) return notAllowed(res, "GET, HEAD");
      return answer(res, 200, resource.text, {
        "cache-control": "public, max-age=300",
        vary: "origin",
      });
    }
    if (path !== resource.path) return answerError(res, 404, "there is nothing here");
    if (req.method !== "POST") return notAllowed(res, "POST");
    if (running.isDraining) {
      const headers = { "retry-after": "1", connection: "close" };
      return answerError(res, 503, "the gateway is stopping", { headers });
    }
    running.add(res);
    await serveMcp(req, res);
  }

  async function serveMcp(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!isJsonContentType(req.headers["content-type"])) {
      return answerError(res, 415, "Content-Type must be application/json");
    }
    if (Number(req.headers["content-length"] ?? 0) > limits.bodyBytes) return tooLarge(res);
    const headers = standardHeaders(req.headers);
    const entering = letIn(req, res, headers);
    // Whoever sends tokens that take long to look at must not keep those out whose proof is at hand.
    if (running.unproven > MAX_UNPROVEN && !(await isSoon(entering))) return busy(res);
    const caller = await entering;
    if (caller === undefined || res.closed) return;
    if (running.admitted >= limits.concurrentRequests) return busy(res);
    if (!running.admit(res, caller.subject)) {
      const message = "this human has too many requests under way";
      return answerError(res, 429, message, { headers: { "retry-after": "1" } });
    }
    const body = await readBody(req, limits.bodyBytes);
    switch (body.kind) {
      case "gone":
        return;
      case "too_large":
        return tooLarge(res);
      case "not_utf8":
        return answerError(res, 400, "the body is not UTF-8", { code: PARSE_ERROR });
      case "text": {
        const message = parsed(body.text);
        if (message === undefined) {
          return answerError(res, 400, "the body is not JSON", { code: PARSE_ERROR });
        }
        await endpoint.serve(req, res, message, headers, caller);
      }
    }
  }

  /** Proves the human before anything of the body is looked at. */
  async function letIn(
    req: IncomingMessage,
    res: ServerResponse,
    headers: StandardHeaders,
  ): Promise<Caller | undefined> {
    // Only a name that we know gets into the records of somebody who may be nobody.
    const named = headers.method === "tools/call" ? headers.name : undefined;
    const tool = named !== undefined && tools.byName.has(named) ? named : undefined;
    try {
      return await callerOf(front, bearerToken(req.headers.authorization), tool);
    } catch (error) {
      const refused = refusal(error, resource.url, options.scopesSupported);
      if (refused.status === 500) {
        log({ level: "error", event: "request_failed", message: nameOf(error) });
      }
      answer(res, refused.status, JSON.stringify(refused.body), refused.headers);
      return undefined;
    }
  }

  function busy(res: ServerResponse): void {
    answerError(res, 503, "the gateway is busy", { headers: { "retry-after": "1" } });
  }

  function tooLarge(res: ServerResponse): void {
    answerError(res, 413, `the body is longer than ${limits.bodyBytes} bytes`);
  }

  return {
    handle(req, res) {
      // Without a listener the end of a connection in mid-answer would be an uncaught exception.
      res.on("error", () => {});
      serve(req, res).catch((error: unknown) => {
        log({ level: "error", event: "request_failed", message: nameOf(error) });
        if (res.headersSent) res.destroy();
        else answerError(res, 500, "Internal error", { code: INTERNAL_ERROR });
      });
    },
    drain: (milliseconds) => running.drain(milliseconds),
    close: () => endpoint.close(),
  };
}

/** What is no error of ours may quote anything: its class alone is safe to print. */
function nameOf(error: unknown): string {
  if (BehalfError.isInstance(error)) return error.message;
  return error instanceof Error ? error.name : typeof error;
}

function status(req: IncomingMessage, res: ServerResponse, isWell: boolean): void {
  if (!isRead(req)) return notAllowed(res, "GET, HEAD");
  answer(res, isWell ? 200 : 503, isWell ? '{"status":"ok"}' : '{"status":"unavailable"}');
}

function isRead(req: IncomingMessage): boolean {
  return req.method === "GET" || req.method === "HEAD";
}

function notAllowed(res: ServerResponse, allow: string): void {
  answerError(res, 405, "Method not allowed", { headers: { allow } });
}

/** Whether it settles within this turn of the event loop: a proof that is in the cache does. */
async function isSoon(promise: Promise<unknown>): Promise<boolean> {
  const late = new Promise<false>((resolve) => {
    setImmediate(() => resolve(false));
  });
  return Promise.race([promise.then(() => true as const), late]);
}

/** Headers that mean something else to whoever reads the other one. */
const ONCE: ReadonlySet<string> = new Set(["host", "authorization", "content-type", "origin"]);

function hasTwice({ rawHeaders }: IncomingMessage): boolean {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase() ?? "";
    if (!ONCE.has(name)) continue;
    if (seen.has(name)) return true;
    seen.add(name);
  }
  return false;
}

function pathOf(url: string): string {
  // The absolute form, which proxies may send (RFC 9112, 3.2.2). Whose host it names, Host says.
  if (url.startsWith("http")) return URL.parse(url)?.pathname ?? url;
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}

/** `undefined` for what is no JSON, which itself has no such value. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
