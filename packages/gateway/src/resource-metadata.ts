import { BehalfError } from "@behalf/core";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

/** The protected resource metadata of RFC 9728, and where it is served. */
export interface ResourceMetadata {
  /** The path of the MCP endpoint. */
  readonly path: string;
  /** `host[:port]` of the resource. */
  readonly host: string;
  readonly origin: string;
  /** Where clients find the metadata. */
  readonly url: string;
  /** Paths that serve it: with the resource's path as RFC 9728, 3.1 says, and bare for clients that ask there. */
  readonly paths: ReadonlySet<string>;
  /** The document. */
  readonly text: string;
}

export interface ResourceOptions {
  /** The public URL of the MCP endpoint, for example `https://gateway.example.com/mcp`. */
  readonly resource: string;
  /** Issuers that give tokens for it. */
  readonly authorizationServers: readonly string[];
  readonly scopesSupported?: readonly string[] | undefined;
  /** For people. */
  readonly resourceName?: string | undefined;
}

/** @throws BehalfError `configuration` */
export function resourceMetadata(options: ResourceOptions): ResourceMetadata {
  const { resource, authorizationServers, scopesSupported, resourceName } = options;
  const url = URL.parse(resource);
  if (url === null || !["https:", "http:"].includes(url.protocol)) {
    throw wrong(
      "`resource` must be the gateway's public http(s) URL, for example https://gateway.example.com/mcp",
    );
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw wrong("`resource` must have neither query, fragment, user nor password");
  }
  if (authorizationServers.length === 0) {
    throw wrong("`authorizationServers` must name at least one issuer");
  }
  // RFC 6749, 3.3: what a scope may be made of; also keeps quotes out of the challenge.
  const badScope = scopesSupported?.find((scope) => !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope));
  if (badScope !== undefined) throw wrong("`scopesSupported` holds what is no OAuth scope");
  const path = url.pathname;
  const suffix = path === "/" ? "" : path;
  return {
    path,
    host: url.host,
    origin: url.origin,
    url: `${url.origin}${WELL_KNOWN}${suffix}`,
    paths: new Set([WELL_KNOWN, `${WELL_KNOWN}${suffix}`]),
    text: JSON.stringify({
      resource,
      authorization_servers: authorizationServers,
      bearer_methods_supported: ["header"],
      ...(scopesSupported === undefined ? {} : { scopes_supported: scopesSupported }),
      ...(resourceName === undefined ? {} : { resource_name: resourceName }),
    }),
  };
}

function wrong(message: string): BehalfError {
  return new BehalfError("configuration", `[gateway] ${message}`);
}
