import type { IncomingHttpHeaders } from "node:http";

import type { InboundModernRoute } from "@modelcontextprotocol/server";

/** JSON-RPC code of MCP for headers and a body that disagree. */
const HEADER_MISMATCH = -32_020;

/** The member of `params` that `Mcp-Name` repeats. */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
]);

/** The standard headers of the 2026-07-28 revision as Node gives them. */
export interface StandardHeaders {
  readonly protocolVersion: string | undefined;
  readonly method: string | undefined;
  readonly name: string | undefined;
}

export function standardHeaders(headers: IncomingHttpHeaders): StandardHeaders {
  return {
    protocolVersion: only(headers["mcp-protocol-version"]),
    method: only(headers["mcp-method"]),
    name: decoded(only(headers["mcp-name"])),
  };
}

/** What is wrong with the headers of a request, or nothing. */
export interface HeaderProblem {
  readonly code: number;
  readonly message: string;
}

/**
 * The half of the header check that `createMcpHandler` does after `classifyInboundRequest`: that the
 * headers which intermediaries route by are there, and that `Mcp-Name` says what the body says.
 */
export function headerProblem(
  headers: StandardHeaders,
  route: InboundModernRoute,
): HeaderProblem | undefined {
  if (route.messageKind !== "request") return undefined;
  const { method, params } = route.message;
  if (headers.protocolVersion === undefined) return missing("MCP-Protocol-Version");
  if (headers.method === undefined) return missing("Mcp-Method");
  const member = NAMED_BY.get(method);
  const value = member === undefined ? undefined : params?.[member];
  if (typeof value !== "string") return undefined;
  if (headers.name === undefined) return missing("Mcp-Name");
  if (headers.name === value) return undefined;
  return { code: HEADER_MISMATCH, message: `the Mcp-Name header and params.${member} disagree` };
}

function missing(header: string): HeaderProblem {
  return { code: HEADER_MISMATCH, message: `the required header ${header} is missing` };
}

function only(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value.trim() : undefined;
}

/** A value that HTTP cannot carry comes as `=?base64?...?=`. One that is no base64 stays, and then matches nothing. */
function decoded(value: string | undefined): string | undefined {
  const base64 =
    value === undefined ? undefined : /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value)?.[1];
  return base64 === undefined ? value : Buffer.from(base64, "base64").toString("utf8");
}
