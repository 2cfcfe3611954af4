import { BehalfError } from "@behalf/core";

/** Who may send requests: by the name they call this server, and by the web page they come from. */
export interface Guard {
  /** Against DNS rebinding: a page of another name that resolves to this machine says that name. */
  readonly allowsHost: (header: string | undefined) => boolean;
  /** No `Origin` is no browser, and allowed. */
  readonly allowsOrigin: (header: string | undefined) => boolean;
}

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"] as const;

/** Whether a host to listen on is this machine itself. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * @param allowedHosts host names without ports; IPv6 in brackets. Loopback names and the resource's own
 *   are always allowed
 * @param allowedOrigins whole origins, for example `https://chat.example.com`. The resource's own is
 *   always allowed
 * @throws BehalfError `configuration` for an entry that could never match
 */
export function guard(
  resource: { readonly host: string; readonly origin: string },
  allowedHosts: readonly string[],
  allowedOrigins: readonly string[],
): Guard {
  const hosts = new Set([...LOOPBACK, withoutPort(resource.host.toLowerCase())]);
  for (const host of allowedHosts) {
    const name = host.toLowerCase();
    if (name === "*" || URL.parse(`http://${name}`)?.host !== name || withoutPort(name) !== name) {
      throw wrong(
        "allowedHosts",
        host,
        "must be a host name without port, for example gateway.example.com",
      );
    }
    hosts.add(name);
  }
  const origins = new Set([resource.origin]);
  for (const origin of allowedOrigins) {
    const url = URL.parse(origin);
    if (url === null || url.origin !== origin) {
      throw wrong(
        "allowedOrigins",
        origin,
        "must be an origin, for example https://chat.example.com",
      );
    }
    origins.add(origin);
  }
  return {
    allowsHost: (header) => header !== undefined && hosts.has(withoutPort(header.toLowerCase())),
    allowsOrigin: (header) => header === undefined || origins.has(header),
  };
}

function withoutPort(host: string): string {
  return host.replace(/:\d{1,5}$/, "");
}

function wrong(option: string, value: string, what: string): BehalfError {
  return new BehalfError("configuration", `[gateway] ${option}: ${JSON.stringify(value)} ${what}`);
}
