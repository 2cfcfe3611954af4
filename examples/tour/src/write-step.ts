import type { Agents } from "./agents.ts";
import { ordersByStatus } from "./author-tool.ts";
import type { Checks } from "./checks.ts";
import { alice, bob, type Person } from "./people.ts";
import { grouped, rowCount, wrap, type Printer } from "./printing.ts";
import type { Shop } from "./shop.ts";
import { rowsOf, type ToolAnswer } from "./tool-answer.ts";
import { same, truth } from "./truth.ts";

/** Names no company: it is the database that knows whose orders these are. */
const SHIP = "update orders set status = 'shipped' where status = 'open'";
const CANCEL_THEIRS = "update orders set status = 'cancelled' where org_id = 'globex'";
const DAYS = 365;
const BY_STATUS = `select status, count(*) as orders from orders
where placed_at >= current_date - ${DAYS} group by status order by status`;

/** Step two: the agent writes as its human, and calls a tool whose SQL the gateway's author wrote. */
export async function writeStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  agents: Agents,
): Promise<void> {
  out.heading("2. It writes as Alice, and uses a tool of the gateway's author");
  await shop.admin.query(
    "create temp table before_writes as select org_id, id, status from orders",
  );
  const own = await shop.admin.query("select from orders where org_id = $1 and status = 'open'", [
    alice.claims.org_id,
  ]);

  const shipped = await agents.alice.write(SHIP);
  const changed = await changedOrders();
  check(
    "Alice's agent changed every open order of her company",
    affectedBy(shipped) === own.rowCount && changed.own === own.rowCount && changed.own > 0,
  );
  check("Alice's agent changed no order of any other company", changed.others === 0);
  tell("Alice", SHIP, shipped);
  out.line(
    `          A superuser finds ${rowCount(changed.own)} of ${alice.company} changed, and ${grouped(changed.others)} of others.`,
  );

  const theirs = await agents.alice.write(CANCEL_THEIRS);
  const after = await changedOrders();
  check("Alice's agent cancels no order of Globex Foods", affectedBy(theirs) === 0);
  check(
    "a superuser finds nothing changed by it",
    after.own === changed.own && after.others === changed.others,
  );
  tell("Alice", CANCEL_THEIRS, theirs);

  const bobs = await agents.bob.write(SHIP);
  const last = await changedOrders();
  check(
    "Bob's agent, whose job only reads, is refused by the database",
    bobs.kind === "refused" && bobs.code === "ZB005",
  );
  check(
    "a superuser finds nothing changed by Bob's agent",
    last.own === after.own && last.others === after.others,
  );
  tell("Bob", SHIP, bobs);
  await shop.admin.query("drop table before_writes");

  out.line();
  out.line(out.dim(`   ${ordersByStatus.name}  {"days":${DAYS}}`));
  out.line("          The author wrote the SQL; the agent chose the number.");
  for (const [agent, person] of [
    [agents.alice, alice],
    [agents.bob, bob],
  ] as const) {
    out.line(
      `          ${person.name}: ${await byStatus(person, await agent.call(ordersByStatus.name, { days: DAYS }))}`,
    );
  }

  function tell(name: string, sql: string, answer: ToolAnswer): void {
    out.line(out.dim(`   write  ${sql}`));
    const lines =
      answer.kind === "rows"
        ? [`${name}: ${rowCount(affectedBy(answer) ?? 0)} changed`]
        : [
            `${name}: refused, ${answer.code} ${answer.message}`,
            `What the agent is told: ${answer.advice}`,
          ];
    for (const line of lines.flatMap((text) => wrap(text, out.width - 10))) {
      out.line(`          ${line}`);
    }
  }

  async function byStatus(person: Person, answer: ToolAnswer): Promise<string> {
    const rows = rowsOf(answer);
    check(
      `the author's tool: ${person.name}'s answer is what a superuser finds in ${person.name}'s own rows`,
      rows.length > 0 && same(rows, await truth(shop.admin, person, BY_STATUS)),
    );
    return rows.map(([status, orders]) => `${String(status)} ${grouped(orders)}`).join(", ");
  }

  async function changedOrders(): Promise<{ readonly own: number; readonly others: number }> {
    const { rows } = await shop.admin.query<{ own: number; others: number }>(
      `select count(*) filter (where org_id = $1)::integer as own,
         count(*) filter (where org_id <> $1)::integer as others
       from orders join before_writes before using (org_id, id) where orders.status <> before.status`,
      [alice.claims.org_id],
    );
    return rows[0] ?? { own: -1, others: -1 };
  }
}

function affectedBy(answer: ToolAnswer): number | undefined {
  return answer.kind === "rows" ? answer.affectedRows : undefined;
}
