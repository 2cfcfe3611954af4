import type { LocalPostgres } from "@behalf/local";
import { connected } from "./connected.ts";
import { alice } from "./people.ts";

/** The copy's name. */
export const CONTROL = "shop_control";

/** A copy with the same pages, statistics and plans: so the same statement brings the same rows in the same order. */
export async function copyWithoutOthers(server: LocalPostgres): Promise<void> {
  const { user, password } = server.superuser;
  const maintenance = await connected(server.urlFor({ user, password, database: "postgres" }));
  try {
    await maintenance.query(`create database ${CONTROL} template shop`);
  } finally {
    await maintenance.end();
  }
  const copy = await connected(server.urlFor({ user, password, database: CONTROL }));
  try {
    // No foreign key is looked at: whole companies go at once.
    await copy.query("set session_replication_role = replica");
    for (const name of [
      "invoices",
      "orders",
      "products",
      "customers",
      "employees",
      "organisations",
    ]) {
      await copy.query(`delete from ${name} where org_id <> '${alice.claims.org_id}'`);
    }
  } finally {
    await copy.end();
  }
}
