import type { Agent } from "./agent.ts";
import type { Agents } from "./agents.ts";
import { ordersByStatus } from "./author-tool.ts";
import type { Checks } from "./checks.ts";
import { alice, bob, type Person } from "./people.ts";
import { cut, grouped, show, sideBySide, table, wrap, type Printer } from "./printing.ts";
import { AGENT, GATEWAY, GATEWAY_LOGIN, type Shop } from "./shop.ts";
import { rowsOf, type ToolAnswer } from "./tool-answer.ts";
import { FINGERPRINT, same, truth } from "./truth.ts";

const QUESTION = `select c.name as customer, count(*) as orders, sum(o.total) as total
from orders o join customers c on (c.org_id, c.id) = (o.org_id, customer_id)
group by c.name order by total desc limit 5`;

const TOOLS = ["query", "describe_tables", "whoami", "write", ordersByStatus.name];

const LOGIN = "select login from behalf.whoami()";

const PRICES = "select reference, unit_price from orders limit 5";

/** Step one: the same question for two humans, and whom the database took them for. */
export async function questionStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  agents: Agents,
): Promise<void> {
  out.heading("1. One agent, one question, two humans");
  const tools = await agents.alice.tools();
  check("the gateway offers its tools", tools.join() === TOOLS.join());
  out.line("   The agent is an MCP client that holds its human's token. It is offered:");
  for (const line of wrap(tools.join(", "), out.width - 3)) out.line(`   ${line}`);
  out.line();
  for (const line of QUESTION.split("\n")) out.line(out.dim(`   ${line}`));
  out.line();

  // At once, so that each human has a connection and both go back into the pool.
  const results = await Promise.all([agents.alice.query(QUESTION), agents.bob.query(QUESTION)]);
  const blocks = [await answer(alice, results[0]), await answer(bob, results[1])];
  const lines = sideBySide(blocks, 3).map((line) => `   ${line}`);
  out.line(out.bold(lines[0] ?? ""));
  for (const line of lines.slice(1)) out.line(line);

  async function answer(person: Person, answered: ToolAnswer): Promise<string[]> {
    const rows = rowsOf(answered);
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
    const { human, actors, role } = await agent.whoAmI();
    const login = rowsOf(await agent.query(LOGIN))[0]?.[0];
    const claim = (text: string, holds: boolean) => check(`${person.name}: ${text}`, holds);
    claim("the database names this human", human?.subject === person.subject);
    claim("the database names the issuer", human?.issuer === shop.idp.issuer);
    claim("the database names gateway and agent", actors.join() === `${GATEWAY},${AGENT}`);
    claim("the database chose the role", role === person.role);
    claim("the login is the one of all", login === GATEWAY_LOGIN);
    const rows = rowsOf(await agent.query(FINGERPRINT));
    const seen = Number(rows[0]?.[0]);
    claim(
      "exactly the own orders are seen",
      same(rows, await truth(shop.admin, person, FINGERPRINT)),
    );
    claim("these are some of the orders and not all", seen > 0 && seen < all);
    return [human?.subject ?? "nobody", actors.join(" < "), role, show(login), grouped(seen)];
  }

  async function carolsPrices(): Promise<string> {
    const answered = await agents.carol.query(PRICES);
    const isRefused = answered.kind === "refused" && answered.code === "42501";
    check("Carol is refused the prices", isRefused);
    return answered.kind === "refused" ? `${answered.code} ${answered.message}` : out.red("shown!");
  }
}
