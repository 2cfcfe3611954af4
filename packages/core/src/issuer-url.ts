import { BehalfError } from "./errors.ts";

/**
 * Checks an issuer's URL or one that its metadata gives: https, or http to this machine itself.
 *
 * @param allowPlainHttp also http to anywhere
 * @throws BehalfError `configuration`
 */
export function secureUrl(what: string, value: string, allowPlainHttp: boolean): URL {
  const url = URL.parse(value);
  if (url === null) throw new BehalfError("configuration", `${what} is not a URL`);
  if (url.username !== "" || url.password !== "") {
    throw new BehalfError("configuration", `${what} must not hold a user or a password`);
  }
  const isSecure =
    url.protocol === "https:" ||
    (url.protocol === "http:" && (allowPlainHttp || isLoopback(url.hostname)));
  if (!isSecure) {
    throw new BehalfError("configuration", `${what} must begin with https:// (${url.origin})`);
  }
  return url;
}

/** Also an issuer identifier: RFC 8414, 2 allows neither query nor fragment. */
export function issuerUrl(value: string, allowPlainHttp: boolean): URL {
  const url = secureUrl("an issuer", value, allowPlainHttp);
  if (url.search !== "" || url.hash !== "") {
    throw new BehalfError("configuration", "an issuer must have neither query nor fragment");
  }
  return url;
}

// Names that resolve to this machine by definition. `localhost` is one by RFC 6761, 6.3.
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
