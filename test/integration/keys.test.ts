import { expect, inject, it } from "vitest";

import { syncKeys } from "@behalf/postgres";
import pg from "pg";

import { failure } from "../support/failure.ts";
import { makeWorld } from "../support/world.ts";

it("brings the issuer's keys, follows a rotation, and leaves them as they were when it fails", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  const { keysync } = world.names;
  const client = new pg.Client({
    connectionString: world.url({ user: keysync, password: world.passwords.keysync }),
  });
  await client.connect();
  const known = async () => {
    const { rows } = await world.admin.query<{ kid: string }>("select kid from behalf.issuer_keys");
    return rows.map(({ kid }) => kid);
  };
  try {
    const { issuer } = world.idp;
    const first = world.idp.currentKeyId;
    await world.idp.rotateKeys();
    expect(await syncKeys({ client, issuer })).toBe(2);
    expect(new Set(await known())).toEqual(new Set([first, world.idp.currentKeyId]));
    world.idp.dropOldKeys();
    expect(await syncKeys({ client, issuer })).toBe(1);
    const kept = [world.idp.currentKeyId];
    expect(await known()).toEqual(kept);

    const refused = async (options: Partial<Parameters<typeof syncKeys>[0]>) =>
      (await failure(syncKeys({ client, issuer, ...options }))).code;
    expect(await refused({ issuer: `${issuer}/` })).toBe("configuration");
    expect(await refused({ issuer: "http://login.example.com" })).toBe("configuration");
    expect(await refused({ fetch: async () => new Response("", { status: 503 }) })).toBe(
      "identity.unavailable",
    );
    expect(await refused({ timeoutMs: 50, fetch: () => new Promise<Response>(() => {}) })).toBe(
      "identity.unavailable",
    );
    expect(await known()).toEqual(kept);
  } finally {
    await client.end();
  }
});
