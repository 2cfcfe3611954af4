import {
  BehalfError,
  type Delegation,
  type Delegator,
  Secret,
  type SqlAdapter,
} from "@behalf/core";
import type pg from "pg";

/** The one bearer of a server that knows no humans. */
export const SHARED_BEARER = "the-same-for-everybody";

/** A front door that compares a constant, verifies nothing and records nothing. */
export const sharedFront: Delegator = {
  async delegate(token) {
    if (token !== SHARED_BEARER) throw new BehalfError("identity.rejected", "another bearer");
    return DELEGATION;
  },
  refuse: async (_delegation, error) => error,
  invalidate() {},
  close() {},
};

const DELEGATION: Delegation = {
  callId: "shared",
  identity: {
    issuer: "urn:bench:nobody",
    subject: "nobody",
    actors: [],
    claims: {},
    token: new Secret(SHARED_BEARER),
    tokenId: "shared",
    clientId: "shared",
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  } as unknown as Delegation["identity"],
};

/** The text as it came, on a pool of one login: what Behalf's adapter is compared with. */
export function sharedAdapter(pool: pg.Pool): SqlAdapter {
  return {
    specificationVersion: 1,
    backend: "shared",
    capabilities: {},
    plan: ({ identity: { issuer, subject } }) => ({
      backend: "shared",
      subject: { issuer, subject },
      steps: [],
    }),
    stream: () => {
      throw new BehalfError("configuration", "the bench needs no stream");
    },
    run: () => Promise.reject(new BehalfError("configuration", "the bench needs no session")),
    async query(_delegation, input) {
      if (typeof input !== "string") throw new BehalfError("configuration", "a text, please");
      const { fields, rows } = await pool.query<unknown[]>({ text: input, rowMode: "array" });
      const columns = fields.map(({ name, dataTypeID }) => ({ name, typeId: dataTypeID }));
      return { columns, rows, truncated: null };
    },
    async invalidate() {},
    close: () => pool.end(),
  };
}
