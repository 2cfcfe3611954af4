import type { SqlAdapter } from "@behalf/core";
import pg from "pg";

import { agentTypes } from "../../packages/gateway/src/agent-types.ts";
import { rowsAnswer } from "../../packages/gateway/src/tool-answer.ts";
import { delayProxy } from "./delay-proxy.ts";
import { type Figure, figure, milliseconds, WrongUsage } from "./figures.ts";
import { identityCpu } from "./postgres-cpu.ts";
import {
  fiveTrips,
  fourTrips,
  oneBatch,
  pipelined,
  postgresJs,
  type Recipe,
} from "./postgres-recipes.ts";
import {
  PAGE_OF_OWNER,
  pageStatement,
  type PostgresWorld,
  postgresWorld,
} from "./postgres-world.ts";
import { interleaved, ratios, type Times } from "./rounds.ts";

/** BEHALF_BENCH_PARTS=byKey,exchange runs only these. */
const PARTS: Readonly<Record<string, (world: PostgresWorld) => Promise<readonly Figure[]>>> = {
  throughput,
  local,
  oneMillisecond: (world) => distant(world, 1),
  fiveMilliseconds: (world) => distant(world, 5),
  identityCpu,
  byKey,
  aggregate,
  tenThousandRows,
  exchange,
};

/** What an identity costs per call, in statement mode and in the sandbox, beside the usual recipes. */
export async function run(): Promise<readonly Figure[]> {
  const wanted = (process.env["BEHALF_BENCH_PARTS"] || Object.keys(PARTS).join()).split(",");
  const unknown = wanted.find((part) => !(part in PARTS));
  if (unknown !== undefined) {
    throw new WrongUsage(`there is no part ${unknown}: ${Object.keys(PARTS).join(", ")}`);
  }
  await using world = await postgresWorld();
  console.log(
    `${world.description}, direct (no pooler), 20 rows of 1,000,000 unless said otherwise`,
  );
  const figures: Figure[] = [];
  for (const part of wanted) figures.push(...((await PARTS[part]?.(world)) ?? []));
  return figures;
}

const timesOf = (times: Times, name: string) => times.get(name) ?? [];

function bareOf(pool: pg.Pool): () => Promise<unknown> {
  return () => pool.query({ name: "page", text: PAGE_OF_OWNER, values: ["alice"] });
}

function statementOf(world: PostgresWorld, shop: SqlAdapter) {
  return async () => shop.query(await world.world.front.delegate(world.token), pageStatement);
}

async function throughput(world: PostgresWorld): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const concurrency of [1, 32]) {
    const contestants = {
      bare: bareOf(world.ownerPool(concurrency)),
      statement: statementOf(world, world.adapter(concurrency)),
    };
    const times = await interleaved(contestants, { rounds: 15, calls: 600, concurrency });
    figures.push(
      figure(`bare named pool.query, c=${concurrency}`, "us", timesOf(times, "bare")),
      figure(`statement mode, c=${concurrency}`, "us", timesOf(times, "statement")),
      figure(
        `statement mode / bare: throughput, c=${concurrency}`,
        "times",
        ratios(times, "bare", "statement"),
        { atLeast: 0.8 },
      ),
    );
  }
  return figures;
}

/** Every usual way, over loopback. */
async function local(world: PostgresWorld): Promise<readonly Figure[]> {
  const recipes: Record<string, Recipe | null> = {
    "five trips": await fiveTrips(world),
    "four trips": await fourTrips(world),
    "one batch": await oneBatch({ unnamed: false })(world),
    "pipeline: true": await pipelined(world),
    "postgres.js begin": await postgresJs(world),
  };
  const contestants: Record<string, () => Promise<unknown>> = {
    "statement mode": statementOf(world, world.adapter(1)),
  };
  for (const [name, recipe] of Object.entries(recipes)) {
    if (recipe !== null) contestants[name] = () => recipe.page();
  }
  const times = await interleaved(contestants, { rounds: 15, calls: 200 });
  for (const recipe of Object.values(recipes)) await recipe?.[Symbol.asyncDispose]();
  return [
    ...Object.keys(contestants).map((name) =>
      figure(`page, c=1: ${name}`, "us", timesOf(times, name)),
    ),
    ...Object.keys(contestants)
      .filter((name) => name !== "statement mode")
      .map((name) =>
        figure(
          `page, c=1: ${name} / statement mode`,
          "times",
          ratios(times, name, "statement mode"),
          name === "four trips" ? { atLeast: 1.8 } : null,
        ),
      ),
  ];
}

async function distant(world: PostgresWorld, delayMs: number): Promise<readonly Figure[]> {
  await using proxy = await delayProxy({ port: world.port, delayMs });
  await using four = await fourTrips(world, proxy.port);
  const pool = world.ownerPool(1, proxy.port);
  const shop = world.adapter(1, proxy.port);
  const times = await interleaved(
    {
      bare: bareOf(pool),
      statement: statementOf(world, shop),
      four: () => four.page(),
    },
    { rounds: 10, calls: 60 },
  );
  await pool.end();
  await shop.close();
  const at = `+${delayMs} ms`;
  return [
    figure(`page, c=1, ${at}: bare`, "us", timesOf(times, "bare")),
    figure(`page, c=1, ${at}: statement mode`, "us", timesOf(times, "statement")),
    figure(
      `statement mode / bare: latency, ${at}`,
      "times",
      ratios(times, "statement", "bare"),
      1.05,
    ),
    figure(
      `four trips / statement mode, ${at}`,
      "times",
      ratios(times, "four", "statement"),
      delayMs === 5 ? { atLeast: 3.8 } : null,
    ),
  ];
}

/** One row by its key, in a text that is new each time: agents repeat nothing. */
async function byKey(world: PostgresWorld): Promise<readonly Figure[]> {
  const shop = world.adapter(1);
  await using batch = await oneBatch({ unnamed: true })(world);
  await using five = await fiveTrips(world);
  let n = 0;
  const fresh = () =>
    `select id, owner, title, total, made_at from notes where id = ${(++n % 1000) * 1000} and ${n} = ${n}`;
  const times = await interleaved(
    {
      sandbox: async () => shop.query(await world.world.front.delegate(world.token), fresh()),
      "one batch": () => batch.page(fresh()),
      "five trips": () => five.page(),
    },
    { rounds: 15, calls: 300 },
  );
  return [
    figure("sandbox, one row by key", "us", timesOf(times, "sandbox")),
    figure(
      "sandbox, one row by key / one batch, unsealed",
      "times",
      ratios(times, "sandbox", "one batch"),
      2,
    ),
    figure(
      "sandbox, one row by key / five trips, unsealed",
      "times",
      ratios(times, "sandbox", "five trips"),
      1,
    ),
  ];
}

async function aggregate(world: PostgresWorld): Promise<readonly Figure[]> {
  const { admin, names } = world.world;
  await admin.query(`
    create unlogged table big as select i as id, 'alice'::text as owner, i % 1000 as amount from generate_series(1, 5000000) i;
    alter table big enable row level security;
    grant select on big to ${names.agent}, ${world.recipeRole};
    create policy agents_read on big for select to behalf_agents using (owner = (select behalf.claim('sub')));
    create policy usual_read on big for select to ${world.recipeRole}
      using (owner = (select current_setting('request.jwt.claims', true)::json ->> 'sub'));
    select behalf.guard('big');
  `);
  await admin.query("vacuum analyze big");
  const text = "select count(*), sum(amount), max(id) from big";
  const shop = world.adapter(1);
  // A plain query: one that is executed for so many rows never runs in parallel.
  await using direct = await fiveTrips(world);
  const times = await interleaved(
    {
      sandbox: async () => shop.query(await world.world.front.delegate(world.token), text),
      direct: () => direct.page(text),
    },
    { rounds: 9, calls: 1 },
  );
  await admin.query("drop table big");
  return [
    figure("5,000,000 rows, aggregate: directly", "us", timesOf(times, "direct")),
    figure("5,000,000 rows, aggregate: sandbox", "us", timesOf(times, "sandbox")),
    figure(
      "5,000,000 rows, aggregate: sandbox / directly",
      "times",
      ratios(times, "sandbox", "direct"),
      1.1,
    ),
  ];
}

/** What the MCP tool does with rows: it makes JSON text of them. */
async function tenThousandRows(world: PostgresWorld): Promise<readonly Figure[]> {
  const shop = world.adapter(1);
  const pool = world.recipePool(1);
  const { admin, names } = world.world;
  await admin.query(`
    create table page as select i as id, 'alice'::text as owner, 'title ' || i as title, (i * 1.25)::numeric(12, 2) as total, now() as made_at
    from generate_series(1, 10000) i;
    alter table page enable row level security;
    grant select on page to ${names.agent};
    grant select on page to ${new URL(world.recipeUrl).username};
    create policy agents_read on page for select to behalf_agents using (owner = (select behalf.claim('sub')));
    create policy usual_read on page for select to ${new URL(world.recipeUrl).username} using (owner = 'alice');
    select behalf.guard('page');
    analyze page;
  `);
  const text = "select * from page";
  const limits = { maxRows: 20_000, maxBytes: 16_777_216, typeParser: agentTypes };
  const times = await interleaved(
    {
      sandbox: async () => {
        const delegation = await world.world.front.delegate(world.token);
        return JSON.stringify(rowsAnswer(await shop.query(delegation, text, limits)));
      },
      pg: async () => JSON.stringify((await pool.query(text)).rows),
    },
    { rounds: 15, calls: 3 },
  );
  await pool.end();
  await admin.query("drop table page");
  return [
    figure("10,000 rows as JSON text: pg", "us", timesOf(times, "pg")),
    figure("10,000 rows as JSON text: sandbox", "us", timesOf(times, "sandbox")),
    figure("10,000 rows as JSON text: sandbox / pg", "times", ratios(times, "sandbox", "pg"), 1),
  ];
}

async function exchange(world: PostgresWorld): Promise<readonly Figure[]> {
  const { world: inner } = world;
  const token = await inner.databaseToken("alice");
  const client = new pg.Client({ connectionString: inner.url() });
  await client.connect();
  const took: number[] = [];
  try {
    const ask = (text: string, values: string[]) => client.query({ name: text, text, values });
    for (let n = -20; n < 200; n++) {
      const empty = await milliseconds(() => ask("select $1::text", [token]));
      const verified = await milliseconds(() => ask("select * from behalf.exchange($1)", [token]));
      if (n >= 0) took.push(verified - empty);
    }
  } finally {
    await client.end();
  }
  return [figure("exchange, RS256 of 2048 bits, per token", "ms", took, 1)];
}
