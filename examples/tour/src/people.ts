/** Somebody who signs in, with what they should see: written in plain SQL and independent of any policy. */
export interface Person {
  /** `sub` at the OpenID provider. */
  readonly subject: string;
  readonly name: string;
  readonly job: string;
  readonly company: string;
  /** What the provider says about this human. The database maps `job` to a role. */
  readonly claims: {
    readonly org_id: string;
    readonly job: "manager" | "sales" | "support" | "accounts";
    readonly employee_id: number;
  };
  /** The role that the database must choose. */
  readonly role: string;
  /** Conditions for a superuser, who sees everything. Default of every table is the own company. */
  readonly sees: {
    readonly customers?: string;
    readonly orders?: string;
    readonly invoices?: string;
  };
}

export const alice: Person = {
  subject: "alice",
  name: "Alice",
  job: "sales manager",
  company: "Acme Tools",
  claims: { org_id: "acme", job: "manager", employee_id: 1001 },
  role: "agent_manager",
  sees: {},
};

const bobsCustomers =
  "select c.id from public.customers c where c.org_id = 'globex' and c.rep_id = 2001";

export const bob: Person = {
  subject: "bob",
  name: "Bob",
  job: "sales rep",
  company: "Globex Foods",
  claims: { org_id: "globex", job: "sales", employee_id: 2001 },
  role: "agent_sales",
  sees: {
    customers: "rep_id = 2001",
    orders: `customer_id in (${bobsCustomers})`,
    invoices: `order_id in (select o.id from public.orders o where o.customer_id in (${bobsCustomers}))`,
  },
};

export const carol: Person = {
  subject: "carol",
  name: "Carol",
  job: "support",
  company: "Acme Tools",
  claims: { org_id: "acme", job: "support", employee_id: 1002 },
  role: "agent_support",
  sees: { orders: "placed_at >= current_date - 90", invoices: "false" },
};

export const dave: Person = {
  subject: "dave",
  name: "Dave",
  job: "accountant",
  company: "Initech Paper",
  claims: { org_id: "initech", job: "accounts", employee_id: 3001 },
  role: "agent_accounts",
  sees: {},
};

export const people: readonly Person[] = [alice, bob, carol, dave];
