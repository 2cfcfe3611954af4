import { BehalfError, type SqlResult } from "@behalf/core";
import { agentOf, type Agent } from "./agent.ts";
import type { Checks } from "./checks.ts";
import { alice, bob, carol, dave, type Person } from "./people.ts";
import { cut, grouped, show, sideBySide, table, type Printer } from "./printing.ts";
import { AGENT, GATEWAY, GATEWAY_LOGIN, type Shop } from "./shop.ts";
import { FINGERPRINT, same, truth } from "./truth.ts";

const QUESTION = `select c.name as customer, count(*) as orders, sum(o.total) as total
from orders o join customers c on (c.org_id, c.id) = (o.org_id, customer_id)
group by c.name order by total desc limit 5`;

const PRICES = "select reference, unit_price from orders limit 5";

/** Step one: the same question for two humans, and whom the database took them for. */
export async function questionStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  onAlicesCall: (sql: string) => void,
): Promise<void> {
  out.heading("1. One agent, one question, two humans");
  for (const line of QUESTION.split("\n")) out.line(out.dim(`   ${line}`));
  out.line();

  const agents = {
    alice: agentOf(shop, alice, onAlicesCall),
    bob: agentOf(shop, bob),
    carol: agentOf(shop, carol),
    dave: agentOf(shop, dave),
  };
  // At once, so that each human has a connection and both go back into the pool.
  const results = await Promise.all([agents.alice.runSql(QUESTION), agents.bob.runSql(QUESTION)]);
  const blocks = [await answer(alice, results[0]), await answer(bob, results[1])];
  const lines = sideBySide(blocks, 3).map((line) => `   ${line}`);
  out.line(out.bold(lines[0] ?? ""));
  for (const line of lines.slice(1)) out.line(line);

  async function answer(person: Person, { rows }: SqlResult): Promise<string[]> {
    const { name, job, company } = person;
    check(
      `${name}'s answer is what a superuser finds in ${name}'s own rows`,
      rows.length > 0 && same(rows, await truth(shop.admin, person, QUESTION)),
    );
    const columns = [
      { title: "customer", width: 16 },
      { title: "orders", align: "right" },
      { title: "total", align: "right" },
    ] as const;
    const cells = rows.map(([customer, orders, total]) => [
      show(customer),
      grouped(orders),
      grouped(total),
    ]);
    return [cut(`${name}, ${job}, ${company}`, 36), ...table(columns, cells)];
  }

  const everything = await shop.admin.query<{ count: string }>("select count(*) from orders");
  const all = Number(everything.rows[0]?.count);
  const people: string[][] = [];
  for (const agent of Object.values(agents)) people.push(await described(agent));
  out.line();
  out.line("   Who the DATABASE says was calling, and how many of the orders it shows:");
  out.line();
  const columns = [
    { title: "human" },
    { title: "through" },
    { title: "runs as" },
    { title: "login" },
    { title: "orders", align: "right" },
  ] as const;
  for (const line of table(columns, people)) out.line(`   ${line}`);

  const connections = shop.connectionsOpened();
  const max = shop.pool.options.max ?? 0;
  check("the pool kept to its limit", connections <= max);
  out.line();
  out.line(
    `   One login, one pool, ${connections} connections, ${grouped(all)} orders in all. Sales see their`,
  );
  out.line("   own customers, support the last 90 days without prices: sql/04_policies.sql.");
  out.line(`   Carol's agent asks for prices: ${await carolsPrices()}`);

  async function described(agent: Agent): Promise<string[]> {
    const { person } = agent;
    const who = await agent.whoAmI();
    const claim = (text: string, holds: boolean) => check(`${person.name}: ${text}`, holds);
    claim("the database names this human", who.subject?.subject === person.subject);
    claim("the database names the issuer", who.subject?.issuer === shop.idp.issuer);
    claim("the database names gateway and agent", who.actors.join() === `${GATEWAY},${AGENT}`);
    claim("the database chose the role", who.name === person.role);
    claim("the login is the one of all", who.native["login"] === GATEWAY_LOGIN);
    const { rows } = await agent.runSql(FINGERPRINT);
    const seen = Number(rows[0]?.[0]);
    claim(
      "exactly the own orders are seen",
      same(rows, await truth(shop.admin, person, FINGERPRINT)),
    );
    claim("these are some of the orders and not all", seen > 0 && seen < all);
    return [
      who.subject?.subject ?? "nobody",
      who.actors.join(" < "),
      who.name,
      String(who.native["login"]),
      grouped(seen),
    ];
  }

  async function carolsPrices(): Promise<string> {
    try {
      await agents.carol.runSql(PRICES);
      check("Carol is refused the prices", false);
      return out.red("shown!");
    } catch (error) {
      if (!BehalfError.isInstance(error)) throw error;
      check("Carol is refused the prices", error.nativeCode === "42501");
      return `${error.nativeCode} ${error.message.replace("[postgres] ", "")}`;
    }
  }
}
