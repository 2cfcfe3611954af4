/**
 * The names that policy generation, the in-database kit and the adapters share. They are a contract
 * between programs of different release dates: a name may be added, never changed.
 */
export const postgresNames = {
  /** The schema that holds the kit. */
  schema: "behalf",
  /** The schema of the functions that run hostile text, one pair for each agent role. */
  sandboxSchema: "behalf_sandbox",
  /** Owns the kit. NOLOGIN, and nobody is a member. */
  ownerRole: "behalf_owner",
  /** Group of all agent roles; generated policies are `TO` it and never to public. NOLOGIN. */
  agentsRole: "behalf_agents",
  /** May replace the public keys of known issuers and nothing else. The gateway never holds its login. */
  keySyncRole: "behalf_keysync",
  /** Holds the sealed identity of a transaction. */
  sealSetting: "behalf.seal",
  /** Stands before the call id in `application_name`. */
  applicationNamePrefix: "behalf/",
  functions: {
    /** Trades the issuer's own JWT for a ticket. */
    exchange: "exchange",
    /** Checks a ticket or a JWT and seals the claims for this transaction. */
    start: "start",
    /** One claim of the sealed identity, as text. */
    claim: "claim",
    /** All claims of the sealed identity, as jsonb. */
    claims: "claims",
    /** Whether identity and task allow a verb on a table: the condition of every guard. */
    allows: "allows",
    /** Opens a cursor over hostile text as the agent role. */
    open: "open",
    /** Fetches from that cursor. */
    fetch: "fetch",
    /** Who the database thinks is calling. */
    whoami: "whoami",
    /** Puts the guards on a table. */
    guard: "guard",
    /** Takes them off again. */
    unguard: "unguard",
    /** Marks a table as meant to be read without a guard. */
    expose: "expose",
    /** Refuses a human from the next statement on, until reinstated. */
    revoke: "revoke",
    /** Refuses what was issued to a human until now. */
    endSessions: "end_sessions",
    /** Lets a refused human in again. */
    reinstate: "reinstate",
  },
} as const;
