import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

import { installKit, uninstallKit } from "@behalf/postgres";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import pg from "pg";
import { expect, inject, it } from "vitest";

const ISSUER = "https://login.example.com";
const ROLES = [
  "shop_gateway",
  "shop_statements",
  "shop_keysync",
  "agent_clerk",
  "agent_clerk_writer",
  "clerk_statements",
  "shop_app",
];

/** The SQL of one section of docs/postgres.md, to the letter: its first block, or another. */
async function sqlOf(section: string, block = 0): Promise<string> {
  const page = await readFile(new URL("../../docs/postgres.md", import.meta.url), "utf8");
  const text = page.split(/^## /m).find((part) => part.startsWith(section)) ?? "";
  return [...text.matchAll(/```sql\n(.*?)```/gs)][block]?.[1] ?? "";
}

it("reaches a working query by docs/postgres.md alone, and comes apart as it says", async () => {
  const database = `docs_${randomBytes(4).toString("hex")}`;
  const url = new URL(inject("postgresUrl"));
  const server = new pg.Client({ connectionString: url.href });
  await server.connect();
  await server.query(`create database ${database}`);
  url.pathname = `/${database}`;
  const admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
  try {
    await admin.query(`
      create table customers (id int primary key, org_id text not null, name text);
      create table orders (id int primary key, org_id text not null, customer_id int references customers);
      insert into customers values (1, 'acme', 'Ann'), (2, 'globex', 'Ben');
      insert into orders values (10, 'acme', 1), (20, 'globex', 2);
    `);
    await installKit(admin);
    const install = await sqlOf("Install");
    expect(install).toContain("behalf.guard('customers')");
    await admin.query(install);
    const { privateKey, publicKey } = await generateKeyPair("RS256");
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256" }] };
    await admin.query("select behalf.put_keys($1, $2)", [ISSUER, JSON.stringify(jwks)]);

    const login = new URL(url);
    login.username = "shop_gateway";
    login.password = "...";
    const gateway = new pg.Client({ connectionString: login.href });
    await gateway.connect();
    const call = async (token: string) => {
      try {
        await gateway.query("begin read only");
        await gateway.query("select behalf.start($1, $2, 'alice')", [token, ISSUER]);
        await gateway.query(
          "select behalf.open('select o.id, c.name from orders o join customers c on c.id = customer_id')",
        );
        const { rows } = await gateway.query<{ fetch: string }>(
          "select * from behalf.fetch(9, 999)",
        );
        return rows.map(({ fetch: row }) => row).join();
      } catch (error) {
        return (error as pg.DatabaseError).code;
      } finally {
        await gateway.query("rollback");
      }
    };
    const token = (at: number) =>
      new SignJWT({ org_id: "acme", job: "clerk", client_id: "agent" })
        .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: "k1" })
        .setIssuer(ISSUER)
        .setSubject("alice")
        .setAudience("urn:example:database")
        .setJti(randomUUID())
        .setIssuedAt(at)
        .setExpirationTime("5m")
        .sign(privateKey);
    const now = Math.floor(Date.now() / 1000);
    try {
      expect((await gateway.query("select * from behalf.preflight(3)")).rows).toEqual([]);
      expect(await call(await token(now))).toBe("(10,Ann)");

      const write = async (text: string) => {
        await gateway.query("begin");
        try {
          await gateway.query("select behalf.start($1, $2, 'alice')", [await token(now), ISSUER]);
          const { rows } = await gateway.query<{ affected: string }>(
            "select * from behalf.write($1, 9, 999)",
            [text],
          );
          return rows[0]?.affected;
        } catch (error) {
          return (error as pg.DatabaseError).code;
        } finally {
          await gateway.query("rollback");
        }
      };
      expect(await write("update orders set id = id")).toBe("ZB005");
      await admin.query(await sqlOf("Install", 1));
      expect((await gateway.query("select * from behalf.preflight(3)")).rows).toEqual([]);
      expect(await write("update orders set id = id")).toBe("1");
      login.username = "shop_statements";
      const statements = new pg.Client({ connectionString: login.href });
      await statements.connect();
      try {
        expect((await statements.query("select * from behalf.preflight(3)")).rows).toEqual([]);
      } finally {
        await statements.end();
      }

      await admin.query(`create role shop_app; ${await sqlOf("The application")}`);
      expect(await call(await token(now))).toBe("(10,Ann)");

      for (const statement of (await sqlOf("Withdraw")).split("\n").filter(Boolean)) {
        await admin.query(statement);
        const refused = statement.includes(".revoke(") || statement.includes(".end_sessions(");
        expect(await call(await token(now)), statement).toBe(
          refused || statement.includes("rotate") ? "ZB004" : "(10,Ann)",
        );
      }
    } finally {
      await gateway.end();
    }

    await expect(uninstallKit(admin)).rejects.toThrow("still");
    await admin.query(`drop policy agents_read on orders; drop policy agents_update on orders;
      drop policy agents_create on orders; drop policy agents_read on customers`);
    await uninstallKit(admin);
  } finally {
    await admin.end();
    await server.query(`drop database ${database} with (force)`);
    for (const role of ROLES) await server.query(`drop role if exists ${role}`);
    await server.end();
  }
});
