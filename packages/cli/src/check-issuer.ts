import { BehalfError, issuerKeySet, type Fetch } from "@behalf/core";

import { issuerOf } from "./config-issuers.ts";
import type { ConfigProblem } from "./config-problem.ts";
import type { ConfigFile } from "./config-schema.ts";
import { isLoopback } from "./loopback.ts";

const TIMEOUT_MS = 5_000;

/** Stands for the keys where only the metadata is asked for. Nobody can have this name (RFC 6761). */
const NO_KEYS = "https://keys.invalid/";

/** Asks the issuer for its keys, where calls will, and for the endpoint that exchanges tokens. */
export async function issuerProblems(file: ConfigFile): Promise<readonly ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  let hasMetadata = true;
  for (const [index, given] of file.identity.issuers.entries()) {
    const issuer = issuerOf(given);
    const jwksUri = typeof given === "string" ? undefined : given.jwksUri;
    const path = ["identity", "issuers", index];
    const fetch = jwksUri === undefined ? globalThis.fetch : keysAt(issuer, jwksUri);
    const why = await failure(issuer, fetch);
    if (why === undefined) continue;
    hasMetadata &&= jwksUri !== undefined;
    problems.push({ path: jwksUri === undefined ? path : [...path, "jwksUri"], message: why });
  }
  // What cannot be had for the keys is not said again for the exchange.
  if (hasMetadata) problems.push(...(await exchangeProblems(file)));
  return problems;
}

async function exchangeProblems({
  identity,
  exchange,
}: ConfigFile): Promise<readonly ConfigProblem[]> {
  const issuer = exchange.issuer ?? identity.issuers.map(issuerOf)[0] ?? "";
  let endpoint: unknown;
  const why = await failure(issuer, async (url, init) => {
    if (url === NO_KEYS) return Response.json({ keys: [] });
    const answer = await fetch(url, init);
    if (answer.status !== 200) return answer;
    const metadata: unknown = await answer.json();
    if (typeof metadata !== "object" || metadata === null) return Response.json(metadata);
    endpoint = "token_endpoint" in metadata ? metadata.token_endpoint : undefined;
    return Response.json({ ...metadata, jwks_uri: NO_KEYS });
  });
  const message = why ?? endpointProblem(issuer, endpoint);
  if (message === undefined) return [];
  const path = exchange.issuer === undefined ? ["exchange"] : ["exchange", "issuer"];
  return [{ path, atKey: exchange.issuer === undefined, message }];
}

function endpointProblem(issuer: string, endpoint: unknown): string | undefined {
  if (typeof endpoint !== "string") {
    return `the metadata of ${issuer} names no token_endpoint, and tokens are exchanged there; name an issuer that exchanges tokens (RFC 8693)`;
  }
  const url = URL.parse(endpoint);
  const isSecure =
    url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(unbracketed(url)));
  return isSecure
    ? undefined
    : `the token_endpoint of ${issuer} must begin with https://; the client's secret is sent there`;
}

function unbracketed(url: URL): string {
  return url.hostname.replaceAll(/^\[|\]$/g, "");
}

/** Why the keys cannot be had, or `undefined`. */
async function failure(issuer: string, fetch: Fetch): Promise<string | undefined> {
  try {
    await issuerKeySet({ issuer, timeoutMs: TIMEOUT_MS, fetch });
    return undefined;
  } catch (error) {
    const why = BehalfError.isInstance(error) ? error.message : "it answers what is no metadata";
    return `${why}; check the URL, and that this machine reaches it`;
  }
}

/** Discovery finds what the file says, so that the keys are fetched within the bounds of any others. */
function keysAt(issuer: string, jwksUri: string): Fetch {
  return async (url, init) =>
    url === jwksUri ? fetch(url, init) : Response.json({ issuer, jwks_uri: jwksUri });
}
