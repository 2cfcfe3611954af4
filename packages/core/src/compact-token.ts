import { identityRefused } from "./identity-refusal.ts";
import { isJsonObject } from "./json-object.ts";
import { inspectJson, MAX_JSON_DEPTH } from "./json-text.ts";

type Members = Readonly<Record<string, unknown>>;

/** A token taken apart. Nothing in it is verified. */
export interface UnverifiedToken {
  readonly header: Members;
  readonly payload: Members;
}

// The signature may be empty here, so that `alg: none` is refused for its algorithm.
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Takes a compact JWS apart, strictly: canonical base64url (so that one token has one spelling), UTF-8,
 * JSON objects, no member twice, bounded depth.
 *
 * @throws BehalfError `identity.rejected`, reason `malformed`, `too_large` or `duplicate_member`
 */
export function parseCompactToken(token: string): UnverifiedToken {
  if (!COMPACT.test(token)) {
    throw identityRefused(
      "malformed",
      'the token is not a compact JWS (three parts in base64url, and no "Bearer " before them)',
    );
  }
  const [header = "", payload = "", signature = ""] = token.split(".");
  bytesOf(signature);
  return { header: objectOf(header, "header"), payload: objectOf(payload, "payload") };
}

function objectOf(part: string, name: string): Members {
  const bytes = bytesOf(part);
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw identityRefused("malformed", `the token's ${name} is not JSON in UTF-8`);
  }
  if (!isJsonObject(value)) {
    throw identityRefused("malformed", `the token's ${name} is not a JSON object`);
  }
  const { depth, hasDuplicateMember } = inspectJson(text);
  if (depth > MAX_JSON_DEPTH) {
    throw identityRefused(
      "too_large",
      `the token's ${name} is nested deeper than ${MAX_JSON_DEPTH}`,
    );
  }
  if (hasDuplicateMember) {
    throw identityRefused("duplicate_member", `the token's ${name} names a member twice`);
  }
  return value;
}

function bytesOf(part: string): Buffer {
  const bytes = Buffer.from(part, "base64url");
  if (bytes.toString("base64url") !== part) {
    throw identityRefused("malformed", "the token is not in canonical base64url");
  }
  return bytes;
}
