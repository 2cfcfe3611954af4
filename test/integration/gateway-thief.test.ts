import pg from "pg";
import { expect, inject, it } from "vitest";

import { DATABASE, makeWorld } from "../support/world.ts";

/** Whoever steals every secret of a gateway, but no human's live token or ticket, reads no row. */
it("gives a thief of all the gateway's secrets 0 rows, and with a human's token exactly that human's", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  const thief = new pg.Client({ connectionString: world.url() });
  await thief.connect();
  try {
    const rowsOf = async (statement: string): Promise<number | string> => {
      try {
        await thief.query("begin read only");
        await thief.query("select behalf.open($1)", [statement]);
        const { rowCount } = await thief.query("select * from behalf.fetch(1000, 1000000)");
        return rowCount ?? 0;
      } catch (error) {
        return (error as pg.DatabaseError).code ?? "no code";
      } finally {
        await thief.query("rollback");
      }
    };

    // With the database login: no table, no sandbox without a human, no forged claim.
    await expect(thief.query("select * from orders")).rejects.toMatchObject({ code: "42501" });
    await expect(thief.query(`set role ${world.names.agent}`)).rejects.toMatchObject({
      code: "42501",
    });
    await expect(thief.query("select * from behalf.secrets")).rejects.toMatchObject({
      code: "42501",
    });
    expect(await rowsOf("select * from orders")).toBe("ZB003");
    await thief.query(
      `set behalf.seal = '${"0".repeat(64)}{"role": "${world.names.agent}", "exp": 99999999999, "claims": {"org_id": "acme"}}'`,
    );
    expect(await rowsOf("select * from orders")).toBe("ZB003");
    await thief.query("reset behalf.seal");
    const forged = `bt1.${"0".repeat(64)}.{"key": 2, "login": "${world.names.gateway}", "role": "${world.names.agent}", "exp": 99999999999, "claims": {"iss": "${world.idp.issuer}", "sub": "alice", "org_id": "acme", "iat": 1}}`;
    await expect(
      thief.query("select * from behalf.start($1, $2, $3)", [forged, world.idp.issuer, "alice"]),
    ).rejects.toMatchObject({ code: "ZB008" });

    // With the OAuth secret: the issuer gives tokens for a human only against a token of the human.
    const body = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: "guess",
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      audience: DATABASE,
    });
    const answer = await fetch(world.idp.tokenEndpoint, {
      method: "POST",
      headers: { authorization: `Basic ${btoa("gateway:gateway-secret-for-tests")}` },
      body,
    });
    expect(answer.status).toBe(400);

    // The other side: the same login with Alice's live token reads Alice's rows, and only hers.
    const token = await world.databaseToken("alice");
    await thief.query("reset all");
    await thief.query("begin read only");
    await thief.query("select behalf.start($1, $2, $3)", [token, world.idp.issuer, "alice"]);
    await thief.query("select behalf.open('select org_id from orders')");
    const { rows } = await thief.query<{ fetch: string }>(
      "select * from behalf.fetch(1000, 1000000)",
    );
    expect(rows).toHaveLength(100);
    expect(new Set(rows.map(({ fetch: row }) => row))).toEqual(new Set(["(acme)"]));
    await thief.query("rollback");
  } finally {
    await thief.end();
  }
});
