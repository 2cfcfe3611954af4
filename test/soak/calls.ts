import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { BehalfError, type RecordSink, type SqlRow } from "@behalf/core";
import pg from "pg";

import { type Figure, figure } from "../bench/figures.ts";
import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { seededRandom } from "../../packages/conformance/src/seeded-random.ts";
import { tcpProxy } from "../support/tcp-proxy.ts";
import { makeWorld } from "../support/world.ts";
import { chaos } from "./calls-chaos.ts";
import { APPLICATION, dirt, serverMemory } from "./calls-dirt.ts";
import { type Kind, KINDS, type SoakCall } from "./calls-kinds.ts";
import { ledger, LEDGER, type Told } from "./calls-ledger.ts";

const HUMANS = 100;
const SANDBOX_CONNECTIONS = 5;
const STATEMENT_CONNECTIONS = 3;
/** Calls under way at a time. */
const WORKERS = 24;
const DEADLINE_MS = 5_000;
/** A call that has not ended so long after its deadline hangs. */
const PATIENCE_MS = 2_000;

export interface CallsOptions {
  readonly calls: number;
  readonly seed: number;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

/** How any call may end while connections are cut, backends end and the server restarts. */
const ANY_END: readonly RegExp[] = [
  /^backend\.unavailable( |$)/,
  // A superuser cancels statements, too.
  /^timeout 57014$/,
];

/** So many calls of 100 humans over 8 connections, with faults at random. */
export async function calls(options: CallsOptions): Promise<readonly Figure[]> {
  const { seed, signal } = options;
  const next = seededRandom(seed);
  await using stack = new AsyncDisposableStack();
  const server = await embeddedPostgres({
    // What was answered as done must survive a crash of the server.
    settings: { synchronous_commit: "on", deadlock_timeout: "50ms", max_connections: "60" },
  });
  stack.defer(() => server.stop());
  console.log(
    `PostgreSQL ${server.version}, ${options.calls} calls, seed ${seed}: ${HUMANS} humans over ` +
      `${SANDBOX_CONNECTIONS} connections for texts and ${STATEMENT_CONNECTIONS} for statements, ${WORKERS} calls at a time`,
  );
  const humans = Array.from({ length: HUMANS }, (_, n) => `human${n}`);
  const world = stack.use(
    await makeWorld({
      url: server.url,
      orders: 20,
      humans: Object.fromEntries(humans.map((human) => [human, { org: `org of ${human}` }])),
      accessTokenTtlSeconds: 7_200,
    }),
  );
  const { writer, agent, statements: statementRole, database } = world.names;
  await world.admin.query(
    `${LEDGER} grant select, insert on ledger to ${writer}, ${statementRole}; grant select on ledger to ${agent}`,
  );
  const proxy = stack.use(await tcpProxy(server));
  const address = { host: "127.0.0.1", port: proxy.port };
  const pool = (max: number, login?: { user: string; password: string }) =>
    world.pool({
      connectionString: world.url(login, address),
      application_name: APPLICATION,
      max,
    });
  /** What the records say of the calls under way. Statements of a run have records of their own. */
  const effects = new Map<string, string | null>();
  const records: RecordSink = {
    async write(record) {
      if (record.kind !== "outcome" || !effects.has(record.id)) return;
      effects.set(record.id, record.effect ?? record.status);
    },
    async close() {},
  };
  const shop = world.adapter({
    pool: pool(SANDBOX_CONNECTIONS),
    statements: {
      pool: pool(STATEMENT_CONNECTIONS, {
        user: world.names.statementGateway,
        password: world.passwords.statementGateway,
      }),
    },
    records,
    deadlineMs: DEADLINE_MS,
  });
  const tokens = new Map<string, string>();
  for (const human of humans) tokens.set(human, await world.token(human));

  const written = ledger();
  const faults = chaos({ calls: options.calls, random: next, server, proxy, world });
  const ended = new Map<string, number>();
  const unforeseen = new Map<string, number>();
  const dirty = new Map<string, number>();
  const settings = { text: new Set<unknown>(), statement: new Set<unknown>() };
  let foreign = 0;
  let rowsSeen = 0;
  let hung = 0;
  let disagreeing = 0;
  let made = 0;
  const memory: { at: number; heap: number; server: number | null }[] = [];
  const durations: number[] = [];

  const more = (counts: Map<string, number>, key: string) =>
    counts.set(key, (counts.get(key) ?? 0) + 1);

  async function attempt(kind: Kind, human: string, work: (call: SoakCall) => Promise<void>) {
    const delegation = await world.front.delegate(tokens.get(human));
    effects.set(delegation.callId, null);
    const ids: number[] = [];
    const mine = (rows: readonly SqlRow[]) => {
      rowsSeen += rows.length;
      for (const [org, subject, left] of rows) {
        if (org !== `org of ${human}` || subject !== human) foreign += 1;
        if (left !== null && left !== "") more(dirty, "a setting of an earlier call");
      }
      if (rows.length === 0) more(unforeseen, `${kind.name}: no row`);
    };
    const call: SoakCall = {
      shop,
      human,
      delegation,
      random: next,
      mine,
      issue() {
        const id = written.issue(human);
        ids.push(id);
        return id;
      },
      clean(rows, mode) {
        mine(rows);
        const [, , , locks, listening, prepared, temporary, hash] = rows[0] ?? [];
        if (locks !== 0) more(dirty, "an advisory lock");
        if (listening !== 0) more(dirty, "a LISTEN");
        if (prepared !== 0) more(dirty, "a prepared statement");
        if (temporary !== 0) more(dirty, "a temporary relation");
        settings[mode].add(hash);
      },
    };
    let told: Told = "done";
    let end = "ok";
    let effect = "ok";
    const startedMs = performance.now();
    const timer = Promise.withResolvers<void>();
    const late = setTimeout(() => {
      hung += 1;
      more(unforeseen, `${kind.name}: hangs`);
      timer.resolve();
    }, DEADLINE_MS + PATIENCE_MS);
    const working = work(call).catch((error: unknown) => {
      if (BehalfError.isInstance(error)) {
        told = error.effect;
        effect = error.effect;
        end = error.nativeCode === undefined ? error.code : `${error.code} ${error.nativeCode}`;
      } else {
        // What the callback of a run threw: nothing was committed.
        told = "none";
        effect = "none";
        end = error instanceof Error ? error.message : String(error);
      }
    });
    await Promise.race([working, timer.promise]);
    clearTimeout(late);
    durations[made % 10_000] = performance.now() - startedMs;
    written.settle(ids, told);
    more(ended, `${kind.name}: ${end}`);
    if (!kind.ends.includes(end) && !ANY_END.some((any) => any.test(end))) {
      more(unforeseen, `${kind.name}: ${end}`);
    }
    const recorded = effects.get(delegation.callId);
    effects.delete(delegation.callId);
    if (recorded !== effect) disagreeing += 1;
    made += 1;
    faults.after(made);
  }

  const weights = KINDS.reduce((sum, { weight }) => sum + weight, 0);
  function pick(): Kind {
    let at = next() * weights;
    for (const kind of KINDS) if ((at -= kind.weight) < 0) return kind;
    return KINDS[0] as Kind;
  }
  async function one(): Promise<void> {
    const kind = pick();
    const human = humans[Math.floor(next() * HUMANS)] as string;
    const { twin } = kind;
    if (twin === undefined) return attempt(kind, human, kind.work);
    const here: (() => void)[] = [];
    // The other one may never come: its connection was cut, or none was free.
    const meet = () =>
      new Promise<void>((resolve) => {
        here.push(resolve);
        setTimeout(resolve, 300);
        if (here.length === 2) for (const go of here) go();
      });
    await Promise.all(
      [true, false].map((isFirst) => attempt(kind, human, (call) => twin(call, meet, isFirst))),
    );
  }

  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;

  /** Nothing is under way: looks at every session, every write and the memory. */
  async function inspect(): Promise<void> {
    await faults.settled();
    const admin = new pg.Client({
      connectionString: server.urlFor({ ...server.superuser, database }),
    });
    await admin.connect();
    try {
      for (const problem of await dirt(admin, world)) more(dirty, problem);
      await written.verify(admin);
    } finally {
      await admin.end();
    }
    collect();
    memory.push({
      at: made / options.calls,
      heap: process.memoryUsage().heapUsed / 1_048_576,
      server: serverMemory(server.serverPid ?? 0),
    });
  }

  const startedMs = performance.now();
  const round = Math.min(20_000, Math.max(500, Math.ceil(options.calls / 25)));
  let inspections = 0;
  while (made < options.calls && !signal.aborted) {
    const until = Math.min(options.calls, made + round);
    const isDue = () => made < until && !signal.aborted;
    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        while (isDue()) await one();
      }),
    );
    await inspect();
    inspections += 1;
    if (inspections % 5 === 0) {
      const rate = made / ((performance.now() - startedMs) / 1_000);
      console.log(`${made} calls, ${rate.toFixed(0)} a second`);
    }
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  await shop.close();

  const table = (counts: ReadonlyMap<string, number>) =>
    Object.fromEntries([...counts].toSorted(([a], [b]) => a.localeCompare(b)));
  console.log("how calls ended:", JSON.stringify(table(ended), null, 1));
  console.log("faults that no call asked for:", JSON.stringify(faults.counts, null, 1));
  for (const [what, counts] of Object.entries({ unforeseen, dirty })) {
    if (counts.size > 0) console.log(`${what}:`, JSON.stringify(table(counts), null, 1));
  }
  const sum = (counts: ReadonlyMap<string, number>) =>
    [...counts.values()].reduce((total, count) => total + count, 0);
  const { counts } = written;
  const p99 = durations.toSorted((a, b) => a - b)[Math.floor(durations.length * 0.99)] ?? 0;
  return [
    figure("calls", "calls", [made]),
    figure("calls a second", "calls/s", [made / seconds]),
    figure("99th percentile of the last calls", "ms", [p99]),
    figure("rows seen", "rows", [rowsSeen]),
    figure("rows of another human seen", "rows", [foreign], 0),
    figure("rows written as another human", "rows", [counts.foreign], 0),
    figure("inspections of all sessions", "inspections", [inspections]),
    figure("things left on connections", "things", [sum(dirty)], 0),
    figure("sets of settings that texts met", "sets", [settings.text.size], 1),
    figure("sets of settings that statements met", "sets", [settings.statement.size], 1),
    figure("calls that hung", "calls", [hung], 0),
    figure("calls that ended as none should", "calls", [sum(unforeseen)], 0),
    figure("records that tell another effect", "records", [disagreeing], 0),
    figure("writes told done", "writes", [counts.done]),
    figure("told done, and not there exactly once", "writes", [counts.lost], 0),
    figure("writes told none", "writes", [counts.none]),
    figure("told none, and there", "writes", [counts.ghosts], 0),
    figure("writes told unknown", "writes", [counts.unknown]),
    figure("told unknown, and there", "writes", [counts.unknownMade]),
    ...memoryFigures(memory),
  ];
}

/** Memory late in the soak beside memory after a fifth of it, when caches are filled. */
function memoryFigures(
  memory: readonly { at: number; heap: number; server: number | null }[],
): readonly Figure[] {
  const of = (which: "heap" | "server", from: number, to: number) =>
    memory
      .filter(({ at }) => at >= from && at <= to)
      .map((sample) => sample[which])
      .filter((value) => value !== null);
  return (["heap", "server"] as const).flatMap((which) => {
    const name = which === "heap" ? "heap of this process" : "memory of the server";
    const [early, late] = [of(which, 0.15, 0.35), of(which, 0.8, 1)];
    if (early.length === 0 || late.length === 0) return [];
    const before = median(early);
    return [
      figure(`${name}, after a fifth`, "MiB", early),
      // A tenth, and what the collector makes of the heap, or the age since the last restart of 8 sessions and
      // their plans: 36 to 46 MiB within one run of 50,000 calls.
      figure(
        `${name}, at the end`,
        "MiB",
        late,
        Math.ceil(before * 1.1 + (which === "heap" ? 10 : 20)),
      ),
    ];
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
