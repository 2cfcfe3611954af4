import type pg from "pg";
import type { Person } from "./people.ts";

const TABLES = [
  "organisations",
  "employees",
  "customers",
  "products",
  "orders",
  "invoices",
] as const;

/**
 * What this person must see, asked by the superuser, whom no policy concerns: the same question over
 * tables of the same names that hold the person's rows and no others.
 */
export async function truth(
  admin: pg.Client,
  person: Person,
  question: string,
): Promise<unknown[][]> {
  const tables = TABLES.map((table) => {
    const condition = (person.sees as { readonly [table: string]: string })[table] ?? "true";
    return `${table} as (select * from public.${table} where org_id = '${person.claims.org_id}' and ${condition})`;
  });
  const { rows } = await admin.query<unknown[]>({
    text: `with ${tables.join(",\n")}\n${question}`,
    rowMode: "array",
  });
  return rows;
}

/** One row that differs where one order more or less, or another one, is seen. Names no column that is hidden from anybody. */
export const FINGERPRINT =
  "select count(*) as orders, md5(string_agg(reference || status, ',' order by reference)) as which from orders";

/** Whether two results hold the same values in the same order. */
export function same(
  one: readonly (readonly unknown[])[],
  other: readonly (readonly unknown[])[],
): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
