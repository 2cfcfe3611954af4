import pg from "pg";

import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";
import { type Figure, figure, milliseconds } from "./figures.ts";

const ROUNDS = 15;
const CALLS = 200;
const STATEMENT = "select * from orders order by id limit 20";

/**
 * What a call costs, 20 rows, one connection: a bare pool without identity, the usual SET LOCAL recipe in
 * five trips, Behalf with a ticket, and Behalf with a token that the database sees for the first time.
 */
export async function run(): Promise<readonly Figure[]> {
  const server = await startTestPostgres();
  console.log(server.description);
  try {
    await using world = await makeWorld({ url: server.url, accessTokenTtlSeconds: 3600 });
    const bare = new pg.Client({
      connectionString: server.url.replace(/\/[^/]*$/, `/${world.names.database}`),
    });
    await bare.connect();
    // The recipe's own role and policy, on the same table: the claims are a setting that anybody can write.
    const usual = `${world.names.agent}_usual`;
    await world.admin.query(`
      create role ${usual} nologin;
      grant select on orders to ${usual};
      create policy usual_read on orders for select to ${usual}
        using (org_id = (select current_setting('request.jwt.claims', true)::json ->> 'org_id'));
    `);
    const shop = world.adapter({ pool: world.pool({ max: 1 }) });
    const fresh = world.adapter({ pool: world.pool({ max: 1 }), maxTickets: 1 });
    const [alice, bob] = [await world.token("alice"), await world.token("bob")];
    try {
      const recipe = async () => {
        await bare.query("begin");
        await bare.query("select set_config('request.jwt.claims', $1, true)", [
          '{"org_id":"acme"}',
        ]);
        await bare.query(`set local role ${usual}`);
        await bare.query(STATEMENT);
        await bare.query("commit");
      };
      const behalf = async () => {
        await shop.query(await world.front.delegate(alice), STATEMENT);
      };
      // One ticket is kept, and two humans take turns: every call brings a token that has to be verified.
      let turn = 0;
      const verified = async () => {
        await fresh.query(await world.front.delegate(turn++ % 2 === 0 ? alice : bob), STATEMENT);
      };
      const contestants = {
        bare: async () => {
          await bare.query(STATEMENT);
        },
        recipe,
        behalf,
        verified,
      };
      const times: Record<string, number[]> = {};
      for (let round = -2; round < ROUNDS; round++) {
        for (const [name, call] of Object.entries(contestants)) {
          const took = await milliseconds(async () => {
            for (let n = 0; n < CALLS; n++) await call();
          });
          if (round >= 0) (times[name] ??= []).push((took / CALLS) * 1000);
        }
      }
      const ratio = (a: string, b: string) =>
        (times[a] ?? []).map((value, index) => value / (times[b]?.[index] ?? Number.NaN));
      return [
        figure("call: bare pg", "us", times["bare"] ?? []),
        figure("call: SET LOCAL recipe, five trips", "us", times["recipe"] ?? []),
        figure("call: behalf, ticket", "us", times["behalf"] ?? []),
        figure("call: behalf, token verified in the database", "us", times["verified"] ?? []),
        figure("behalf / five trips", "times", ratio("behalf", "recipe")),
        figure("behalf / bare", "times", ratio("behalf", "bare")),
      ];
    } finally {
      await bare.end();
      await world.admin.query(`drop owned by ${usual}; drop role ${usual}`);
    }
  } finally {
    await server.stop();
  }
}
