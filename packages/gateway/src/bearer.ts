import { BehalfError, type BehalfErrorCode } from "@behalf/core";

/** RFC 6750, 2.1. The scheme's name is case-insensitive (RFC 9110, 11.1). */
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;

/** The token of an `Authorization` header; tokens come in no other way. */
export function bearerToken(header: string | undefined): string | undefined {
  return header === undefined ? undefined : BEARER.exec(header)?.[1];
}

/** How HTTP says that a request brought no acceptable human. */
export interface Refusal {
  readonly status: 401 | 500 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: string; readonly error_description: string };
}

const UNAVAILABLE: ReadonlySet<BehalfErrorCode> = new Set<BehalfErrorCode>([
  "identity.unavailable",
  "records.unavailable",
  "closed",
]);

/**
 * The answer for what `front.delegate` threw: 401 with the challenge of RFC 9728, 5.1 that leads a client
 * to the authorization server, 503 where trying later helps. Its texts are constants: nothing that the
 * token says gets out.
 *
 * @param metadataUrl where the protected resource metadata is
 */
export function refusal(
  error: unknown,
  metadataUrl: string,
  scopes: readonly string[] = [],
): Refusal {
  if (!BehalfError.isInstance(error) || error.code === "configuration") {
    return {
      status: 500,
      headers: {},
      body: { error: "server_error", error_description: "the gateway is not set up rightly" },
    };
  }
  if (UNAVAILABLE.has(error.code)) {
    return {
      status: 503,
      headers: { "retry-after": "10" },
      body: {
        error: "temporarily_unavailable",
        error_description: `${error.code}: try again later`,
      },
    };
  }
  const isMissing = error.code === "identity.missing";
  // A front door of somebody's own may say anything; ours says words.
  const isWord = error.reason !== undefined && /^\w{1,64}$/.test(error.reason);
  const reason = isWord ? ` (${error.reason})` : "";
  const description = isMissing
    ? "send the human's access token as Authorization: Bearer"
    : `${error.code}${reason}`;
  const parameters = [
    `resource_metadata="${metadataUrl}"`,
    // RFC 6750, 3.1: no error code for a request that brought no token at all.
    ...(isMissing ? [] : [`error="invalid_token"`, `error_description="${description}"`]),
    ...(scopes.length === 0 ? [] : [`scope="${scopes.join(" ")}"`]),
  ];
  return {
    status: 401,
    headers: { "www-authenticate": `Bearer ${parameters.join(", ")}` },
    body: {
      error: isMissing ? "invalid_request" : "invalid_token",
      error_description: description,
    },
  };
}
