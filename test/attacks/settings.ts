import { BehalfError, sql, type Delegation } from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";
import pg from "pg";

import { HUMANS } from "../support/world.ts";
import type { Attempt, Names } from "./attack-case.ts";
import { type AttackWorld, HOSTILE_HUMANS } from "./attack-world.ts";

/** What came of one attempt: what the attacker was shown, whether rows or a refusal. */
export interface Outcome {
  readonly ok: boolean;
  readonly shown: string;
}

/** One pooled connection in one setting. */
export interface Lane extends AsyncDisposable {
  readonly names: Names;
  /** A hostile attempt. Never rejects. */
  attack(human: string, attempt: Attempt): Promise<Outcome>;
  /** An honest text on the same connection. */
  honest(human: string, text: string): Promise<Outcome>;
}

export interface Setting {
  readonly name: string;
  /** A control is not Behalf's: the run shows that it breaks. */
  readonly kind: "control" | "behalf";
  readonly hardened: boolean;
  /** How an attempt comes in: as a text, or as the values of a statement. */
  readonly input: "text" | "value";
  open(world: AttackWorld): Promise<Lane>;
}

/** How long a hostile call may take, in milliseconds. In the usual recipe it is the login's statement_timeout. */
const DEADLINE_MS = 400;

export const SETTINGS: readonly Setting[] = [
  {
    name: "usual, simple",
    kind: "control",
    hardened: false,
    input: "text",
    open: (world) => usual(world, "simple"),
  },
  {
    name: "usual, extended",
    kind: "control",
    hardened: false,
    input: "text",
    open: (world) => usual(world, "extended"),
  },
  {
    name: "read sandbox",
    kind: "behalf",
    hardened: false,
    input: "text",
    open: (world) => sandbox(world, "read"),
  },
  {
    name: "write sandbox",
    kind: "behalf",
    hardened: false,
    input: "text",
    open: (world) => sandbox(world, "write"),
  },
  {
    name: "read, hardened",
    kind: "behalf",
    hardened: true,
    input: "text",
    open: (world) => sandbox(world, "read"),
  },
  {
    name: "write, hardened",
    kind: "behalf",
    hardened: true,
    input: "text",
    open: (world) => sandbox(world, "write"),
  },
  {
    name: "statement mode",
    kind: "behalf",
    hardened: false,
    input: "value",
    open: (world) => statements(world),
  },
  {
    name: "statement, hardened",
    kind: "behalf",
    hardened: true,
    input: "value",
    open: (world) => statements(world),
  },
];

export function fill(text: string, names: Names): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (whole, name: string) => {
    const value = (names as unknown as Record<string, string | undefined>)[name];
    if (value === undefined) throw new Error(`${whole} stands for nothing`);
    return value;
  });
}

function claimsOf(human: string): string {
  const org = (HUMANS as Record<string, { org: string }>)[human]?.org ?? HOSTILE_HUMANS[human];
  return JSON.stringify({ sub: human, org_id: org });
}

/** One pooled login that is a member of the agent role; the claims stand in a setting. */
async function usual(
  { usual: { role, login, url } }: AttackWorld,
  queryMode: "simple" | "extended",
): Promise<Lane> {
  const open = async () => {
    const made = new pg.Client({
      connectionString: url,
      options: `-c statement_timeout=${DEADLINE_MS}`,
    });
    made.on("error", () => {});
    await made.connect();
    return made;
  };
  let client = await open();
  const names = { role, login, claims: "request.jwt.claims", alice: claimsOf("alice") };
  const run = async (human: string, texts: readonly string[]): Promise<Outcome> => {
    const shown: string[] = [];
    try {
      await client.query("begin");
      await client.query(`set local role ${role}`);
      await client.query("select set_config('request.jwt.claims', $1, true)", [claimsOf(human)]);
      for (const text of texts) {
        const results = await client.query({
          text: fill(text, names),
          rowMode: "array",
          ...(queryMode === "extended" ? { queryMode } : {}),
        });
        shown.push(JSON.stringify([results].flat().map(({ rows }) => rows)));
      }
      await client.query("commit");
      return { ok: true, shown: shown.join("\n") };
    } catch (error) {
      shown.push(error instanceof Error ? said(error) : String(error));
      // What a pool does with a connection that is gone.
      await client.query("rollback").catch(async () => {
        await client.end().catch(() => {});
        client = await open();
      });
      return { ok: false, shown: shown.join("\n") };
    }
  };
  return {
    names,
    attack: (human, attempt) => run(human, [attempt].flat()),
    honest: (human, text) => run(human, [text]),
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** What the usual recipe's application hands to the agent: the message, and the detail that quotes values. */
function said(error: Error): string {
  const { detail } = error as { detail?: unknown };
  return typeof detail === "string" ? `${error.message} (${detail})` : error.message;
}

/** Tokens are asked for once: what is attacked is the database. */
function delegations({ world }: AttackWorld): (human: string) => Promise<Delegation> {
  const tokens = new Map<string, Promise<string>>();
  return async (human) => {
    const token = tokens.get(human) ?? world.token(human);
    tokens.set(human, token);
    return world.front.delegate(await token);
  };
}

async function outcome(work: Promise<unknown>): Promise<Outcome> {
  try {
    return { ok: true, shown: JSON.stringify(await work) };
  } catch (error) {
    // A TypeError is what an author gets who makes a statement of a text that is none.
    if (!BehalfError.isInstance(error) && !(error instanceof TypeError)) throw error;
    return { ok: false, shown: error.message };
  }
}

async function sandbox(attackWorld: AttackWorld, access: "read" | "write"): Promise<Lane> {
  const { world } = attackWorld;
  const pool = world.pool({ max: 1 });
  const shop = world.adapter({ pool, statements: null });
  const delegate = delegations(attackWorld);
  const names = {
    role: access === "read" ? world.names.agent : world.names.writer,
    login: world.names.gateway,
    claims: "behalf.seal",
    alice: forgedSeal(world.names.agent),
  };
  const run = async (human: string, attempt: Attempt): Promise<Outcome> => {
    const delegation = await delegate(human);
    const texts = [attempt].flat().map((text) => fill(text, names));
    if (texts.length > 1) {
      return outcome(
        shop.run(
          delegation,
          async (session) => {
            const results: unknown[] = [];
            for (const text of texts) results.push((await session.query(text)).rows);
            return results;
          },
          { access, deadlineMs: DEADLINE_MS },
        ),
      );
    }
    const [text = ""] = texts;
    const asked = await outcome(
      shop
        .query(delegation, text, { access, deadlineMs: DEADLINE_MS })
        .then(({ rows, columns }) => ({ rows, columns })),
    );
    if (access === "write" || asked.shown.includes("statement timeout")) return asked;
    // The other way in, which opens the cursor in one trip and fetches in the next.
    const streamed = await outcome(
      (async () => {
        const rows: unknown[] = [];
        const stream = shop.stream(await delegate(human), text, {
          maxBytes: 1_048_576,
          deadlineMs: DEADLINE_MS,
        });
        for await (const row of stream) rows.push(row);
        return rows;
      })(),
    );
    return { ok: asked.ok || streamed.ok, shown: `${asked.shown}\n${streamed.shown}` };
  };
  return {
    names,
    attack: run,
    honest: async (human, text) =>
      outcome(
        shop.query(await delegate(human), fill(text, names), { access }).then(({ rows }) => rows),
      ),
    [Symbol.asyncDispose]: async () => {
      await shop.close();
      await pool.end();
    },
  };
}

/** An author's statements with hostile values. */
async function statements(attackWorld: AttackWorld): Promise<Lane> {
  const { world } = attackWorld;
  const pool = world.statementPool({ max: 1 });
  const shop = world.adapter({ pool: null, statements: { pool } });
  const delegate = delegations(attackWorld);
  const access = "write";
  const names = {
    role: world.names.statements,
    login: world.names.statementGateway,
    claims: "behalf.seal",
    alice: forgedSeal(world.names.agent),
  };
  const attack = async (human: string, attempt: Attempt) => {
    const outcomes: Outcome[] = [];
    for (const text of [attempt].flat()) {
      const value = fill(text, names);
      for (const statement of authored(value)) {
        outcomes.push(
          await outcome(
            shop
              .query(await delegate(human), statement, { access, deadlineMs: DEADLINE_MS })
              .then(({ rows }) => rows),
          ),
        );
      }
    }
    return { ok: false, shown: outcomes.map(({ shown }) => withoutValue(shown)).join("\n") };
  };
  return {
    names,
    attack,
    honest: async (human, text) =>
      outcome(
        shop
          .query(await delegate(human), trustedStatement(fill(text, names)), { access })
          .then(({ rows }) => rows),
      ),
    [Symbol.asyncDispose]: async () => {
      await shop.close();
      await pool.end();
    },
  };
}

/** The server quotes a value that is no number; that is the attacker's own, and no answer. */
function withoutValue(shown: string): string {
  return shown.replace(/(invalid input syntax for type \w+): ".*$/s, "$1");
}

/** Where values stand in what people write. None gives the value back: an echo is no break. */
const authored = (value: string) => [
  sql`select id, email, salary, note from payroll where note = ${value} or email like ${value}
    or email ilike ${`%${value}%`} or email = any(${[value, `'${value}'`]}) order by id`,
  sql`select length(${value}), length(quote_ident(${value})), length(format('%L %I', ${value}::text, ${value}::text)),
    ${JSON.stringify({ value })}::jsonb ->> 'value' = ${value}, to_jsonb(${value}::text) is null,
    behalf.claim(${value}) is null, current_user = ${value}, current_setting('role') = ${value}`,
  sql`insert into payroll (org_id, email, salary, note) values ('globex', ${value}, 1, ${value})
    returning length(note)`,
  sql`select id from payroll order by id limit ${value}`,
  sql`select id from payroll where org_id = ${value} or id::text = ${value}`,
];

/** The shape of a seal, with Alice in it: what the database makes, but for the HMAC. */
function forgedSeal(role: string): string {
  const payload = {
    key: 1,
    role,
    exp: 4_000_000_000,
    claims: { sub: "alice", org_id: "acme" },
  };
  return `${"0".repeat(64)}${JSON.stringify(payload)}`;
}
