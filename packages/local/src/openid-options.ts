export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** Somebody who can sign in. There are no passwords: whoever knows the name is that human. */
export interface LocalHuman {
  readonly sub: string;
  /** Goes into the ID token with the scope `profile`. */
  readonly name?: string;
  /** Goes into the ID token with the scope `email`. */
  readonly email?: string;
  /** Further claims of this human's access tokens, for example `{ org_id: "acme", roles: ["clerk"] }`. */
  readonly claims?: Readonly<Record<string, JsonValue>>;
  /** The only actor who may act for this human; becomes the claim `may_act`. Default is anybody. */
  readonly mayAct?: { readonly sub: string };
}

/** Who a client is when it acts for a human: the content of the claim `act`. */
export interface LocalActor {
  readonly sub: string;
  readonly sub_profile?: "ai_agent" | "service";
}

export interface LocalClient {
  readonly clientId: string;
  readonly clientSecret: string;
  /**
   * Put into `act` of every token that this client gets for a human. With it the client may also use
   * `client_credentials` for a token of its own (`sub` is the actor's), to be an actor_token elsewhere.
   * A client without an actor gets tokens in which nobody acts: impersonation, as some providers do.
   */
  readonly actor?: LocalActor;
  /** The audiences this client receives tokens for: a subject token of another audience is refused. */
  readonly audiences?: readonly string[];
  /** The audiences this client may exchange for. Default is none: no token exchange. */
  readonly mayExchangeFor?: readonly string[];
  /** Whether this client may use the development-only sign-in grant. Default is `false`. */
  readonly localSignIn?: boolean;
  /** Where the browser flow may return to. Default is nowhere: no browser flow. */
  readonly redirectUris?: readonly string[];
}

export interface LocalResource {
  /** For example `urn:example:database`. The browser flow asks for it as `resource` and needs a URI. */
  readonly audience: string;
  /** The scopes this resource knows. Default is none. */
  readonly scopes?: readonly string[];
}

export type SigningAlgorithm = "RS256" | "ES256";

export interface LocalOpenIdProviderOptions {
  readonly humans: readonly LocalHuman[];
  readonly clients: readonly LocalClient[];
  readonly resources: readonly LocalResource[];
  /** Default is `0`: a free one. */
  readonly port?: number;
  /**
   * The address to listen on; the issuer stays `http://127.0.0.1:<port>`. Default is `"127.0.0.1"`. In a
   * container it is `"0.0.0.0"`, and the port published on loopback: whoever reaches it may be anybody.
   */
  readonly host?: string;
  /** Default is `300`. An exchanged token never outlives its subject token. */
  readonly accessTokenTtlSeconds?: number;
  /** Default is `"RS256"` with 2048 bits. */
  readonly signingAlgorithm?: SigningAlgorithm;
}

/** Claims that say what the token is; those of a human must not pass for them. */
const PROTOCOL_CLAIMS: ReadonlySet<string> = new Set(
  (
    "iss sub aud exp nbf iat jti typ act may_act cnf client_id azp scope " +
    "authorization_details acr amr auth_time nonce sid sub_profile"
  ).split(" "),
);

/** The people, clients and resources of one provider, checked. */
export interface Directory {
  readonly clients: readonly LocalClient[];
  /** A human who is known and not revoked. */
  human(sub: unknown): LocalHuman | undefined;
  humans(): readonly LocalHuman[];
  revoke(sub: string): void;
  client(clientId: string): LocalClient | undefined;
  resource(audience: string): LocalResource | undefined;
  actor(sub: unknown): LocalActor | undefined;
}

/** @throws TypeError when two entries collide or one names what does not exist. */
export function createDirectory(options: LocalOpenIdProviderOptions): Directory {
  const humans = index("humans", options.humans, (human) => human.sub);
  const clients = index("clients", options.clients, (client) => client.clientId);
  const resources = index("resources", options.resources, (resource) => resource.audience);
  const actors = new Map<string, LocalActor>();
  const revoked = new Set<string>();

  for (const human of options.humans) {
    for (const name of Object.keys(human.claims ?? {})) {
      if (PROTOCOL_CLAIMS.has(name)) {
        refuse(`the claim ${name} of the human ${human.sub} belongs to the protocol: rename it`);
      }
    }
  }
  for (const client of options.clients) {
    for (const audience of [...(client.audiences ?? []), ...(client.mayExchangeFor ?? [])]) {
      if (!resources.has(audience)) {
        refuse(`the client ${client.clientId} names ${audience}: add it to \`resources\``);
      }
    }
    const { actor } = client;
    if (actor === undefined) continue;
    // Else the token of an actor would be the token of a human.
    if (humans.has(actor.sub)) {
      refuse(`${actor.sub} is a human and the actor of ${client.clientId}: use two names`);
    }
    actors.set(actor.sub, actor);
  }

  return {
    clients: options.clients,
    human: (sub) => (typeof sub === "string" && !revoked.has(sub) ? humans.get(sub) : undefined),
    humans: () => options.humans.filter((human) => !revoked.has(human.sub)),
    revoke: (sub) => {
      if (!humans.has(sub)) refuse(`there is no human ${sub} to revoke`);
      revoked.add(sub);
    },
    client: (clientId) => clients.get(clientId),
    resource: (audience) => resources.get(audience),
    actor: (sub) => (typeof sub === "string" ? actors.get(sub) : undefined),
  };
}

function index<T>(what: string, values: readonly T[], key: (value: T) => string): Map<string, T> {
  const map = new Map<string, T>();
  for (const value of values) {
    if (key(value) === "") refuse(`an entry of \`${what}\` has an empty name`);
    if (map.has(key(value))) refuse(`\`${what}\` has ${key(value)} twice`);
    map.set(key(value), value);
  }
  return map;
}

function refuse(what: string): never {
  throw new TypeError(`[@behalf/local] ${what}`);
}
