import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Provider } from "oidc-provider";
import { cookieKeys, providerConfiguration } from "./openid-configuration.ts";
import { EXCHANGE_PARAMETERS, exchangeToken, TOKEN_EXCHANGE } from "./openid-exchange.ts";
import type { ExchangeParameters } from "./openid-exchange.ts";
import { forgeToken, type ForgeOptions } from "./openid-forge.ts";
import type { Issuer, TargetParameters } from "./openid-issue.ts";
import { createKeyring } from "./openid-keys.ts";
import { answerLogin, LOGIN_PATH } from "./openid-login-page.ts";
import { createDirectory, type LocalOpenIdProviderOptions } from "./openid-options.ts";
import { LOCAL_SIGN_IN, SIGN_IN_PARAMETERS, signInActor, signInLocally } from "./openid-sign-in.ts";
import type { SignInParameters } from "./openid-sign-in.ts";
import { createStore } from "./openid-store.ts";

const TARGETS: readonly string[] = ["audience", "resource"];

export interface LocalOpenIdProvider extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`; discovery below it at /.well-known/openid-configuration. */
  readonly issuer: string;
  readonly port: number;
  readonly tokenEndpoint: string;
  readonly jwksUri: string;
  /** The `kid` that signs now. */
  readonly currentKeyId: string;
  /** Gets an access token for a human over HTTP, by the development-only grant. */
  signIn(sub: string, options: LocalSignInOptions): Promise<string>;
  /** From now on nothing is issued for this human. Tokens that are out live until they expire. */
  revokeHuman(sub: string): void;
  /** Signs with a new key from now on; the earlier ones stay in the key set. */
  rotateKeys(): Promise<void>;
  /** Takes all keys but the current one out of the key set. */
  dropOldKeys(): void;
  /** Mints any token at all with the provider's key: for tests of those who verify. */
  forge(claims: Readonly<Record<string, unknown>>, options?: ForgeOptions): Promise<string>;
  /** How often each path was requested since the start, ids left out: `{ "/token": 3 }`. */
  requests(): Readonly<Record<string, number>>;
  /** Stops listening and ends open connections. May be called again. */
  close(): Promise<void>;
}

export interface LocalSignInOptions {
  /** A client with `localSignIn`. If it has an actor, the token says that the actor acts. */
  readonly clientId: string;
  readonly audience: string;
  /** Separated by spaces. Default is none. */
  readonly scope?: string;
}

/**
 * Starts an OpenID provider for development and tests, on 127.0.0.1 unless `host` says more: RFC 9068
 * access tokens, the browser flow (code with PKCE), RFC 8693 token exchange, and a sign-in without a
 * password. It keeps the process alive until it is closed.
 *
 * @throws TypeError when the options contradict themselves.
 *
 * @example
 * ```ts
 * await using idp = await startOpenIdProvider({
 *   humans: [{ sub: "alice", claims: { org_id: "acme" } }],
 *   clients: [{ clientId: "agent", clientSecret: "s", localSignIn: true, actor: { sub: "agent:1" } }],
 *   resources: [{ audience: "urn:example:gateway" }],
 * });
 * const token = await idp.signIn("alice", { clientId: "agent", audience: "urn:example:gateway" });
 * ```
 */
export async function startOpenIdProvider(
  options: LocalOpenIdProviderOptions,
): Promise<LocalOpenIdProvider> {
  const directory = createDirectory(options);
  const ttl = options.accessTokenTtlSeconds ?? 300;
  if (!Number.isSafeInteger(ttl) || ttl <= 0) {
    throw new TypeError("[@behalf/local] `accessTokenTtlSeconds` must be a whole number above 0");
  }
  const keys = await createKeyring(options.signingAlgorithm ?? "RS256");
  const counts = new Map<string, number>();

  let handle: (request: IncomingMessage, response: ServerResponse) => void = unavailable;
  const server = createServer((request, response) => {
    const path = countedPath(request.url ?? "/");
    counts.set(path, (counts.get(path) ?? 0) + 1);
    handle(request, response);
  });
  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") {
    throw new Error("[@behalf/local] the OpenID provider has no TCP port");
  }
  const { port } = address;

  const url = `http://127.0.0.1:${port}`;
  const issuer: Issuer = {
    url,
    directory,
    keys,
    accessTokenTtlSeconds: ttl,
    extraClaims: new WeakMap(),
  };
  const parts = { issuer, store: createStore(), cookieKeys: cookieKeys() };

  // oidc-provider reads its keys once, so new keys mean a new instance behind the same server.
  function useKeys(): void {
    const provider = createProvider(issuer, providerConfiguration(parts));
    const answer = provider.callback();
    handle = (request, response) => {
      if (request.url?.startsWith(LOGIN_PATH) === true) {
        void answerLogin(provider, directory, request, response);
      } else {
        void answer(request, response);
      }
    };
  }
  try {
    useKeys();
  } catch (error) {
    server.close();
    throw error;
  }

  let closing: Promise<unknown> | undefined;
  async function close(): Promise<void> {
    if (closing === undefined) {
      closing = once(server, "close");
      server.close();
      server.closeAllConnections();
    }
    await closing;
  }

  return {
    issuer: url,
    port,
    tokenEndpoint: `${url}/token`,
    jwksUri: `${url}/jwks`,
    get currentKeyId() {
      return keys.current.kid;
    },
    signIn: (sub, request) => signInOverHttp(issuer, sub, request),
    revokeHuman: (sub) => directory.revoke(sub),
    rotateKeys: async () => {
      await keys.rotate();
      useKeys();
    },
    dropOldKeys: () => {
      keys.dropOld();
      useKeys();
    },
    forge: (claims, forgery) => forgeToken(issuer, claims, forgery),
    requests: () => Object.fromEntries(counts),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function createProvider(
  issuer: Issuer,
  configuration: ReturnType<typeof providerConfiguration>,
): Provider {
  const provider = new Provider(issuer.url, configuration);
  provider.registerGrantType<ExchangeParameters & TargetParameters>(
    TOKEN_EXCHANGE,
    (ctx) => exchangeToken(issuer, ctx),
    EXCHANGE_PARAMETERS,
    TARGETS,
  );
  provider.registerGrantType<SignInParameters & TargetParameters>(
    LOCAL_SIGN_IN,
    (ctx) => signInLocally(issuer, ctx),
    SIGN_IN_PARAMETERS,
    TARGETS,
  );
  provider.registerGrantType<TargetParameters>(
    "client_credentials",
    (ctx) => signInActor(issuer, ctx),
    ["audience", "resource", "scope"],
    TARGETS,
  );
  return provider;
}

async function signInOverHttp(
  issuer: Issuer,
  sub: string,
  options: LocalSignInOptions,
): Promise<string> {
  const client = issuer.directory.client(options.clientId);
  if (client === undefined) {
    throw new TypeError(`[@behalf/local] there is no client ${options.clientId}`);
  }
  const credentials = [client.clientId, client.clientSecret].map(encodeURIComponent).join(":");
  const response = await fetch(`${issuer.url}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` },
    body: new URLSearchParams({
      grant_type: LOCAL_SIGN_IN,
      username: sub,
      audience: options.audience,
      ...(options.scope === undefined ? {} : { scope: options.scope }),
    }),
  });
  const body: { access_token?: string; error?: string; error_description?: string } = JSON.parse(
    await response.text(),
  );
  if (body.access_token === undefined) {
    throw new Error(
      `[@behalf/local] the sign-in of ${sub} was refused: ${body.error}: ${body.error_description}`,
    );
  }
  return body.access_token;
}

function unavailable(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(503).end();
}

/** Two segments for discovery, one for all else: what follows are ids of logins in progress. */
function countedPath(url: string): string {
  const [path = "/"] = url.split("?");
  return path.startsWith("/.well-known/") ? path : `/${path.split("/")[1] ?? ""}`;
}
