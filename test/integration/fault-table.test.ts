import { readFile } from "node:fs/promises";

import type { LocalPostgres } from "@behalf/local";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { CALLER_FAULTS } from "../faults/caller-faults.ts";
import type { Fault } from "../faults/fault.ts";
import { NETWORK_FAULTS } from "../faults/network-faults.ts";
import { SERVER_FAULTS } from "../faults/server-faults.ts";
import { type FaultParts, MARKS, outcomeOf } from "../faults/stage.ts";
import { STATEMENT_FAULTS } from "../faults/statement-faults.ts";
import { faultTable, plainTable } from "../faults/table.ts";
import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { type TcpProxy, tcpProxy } from "../support/tcp-proxy.ts";
import { makeWorld, type World } from "../support/world.ts";

let server: LocalPostgres;
let world: World;
let proxy: TcpProxy;
let parts: FaultParts;
beforeAll(async () => {
  server = await embeddedPostgres({
    settings: { synchronous_commit: "on", deadlock_timeout: "20ms" },
  });
  world = await makeWorld({ url: server.url });
  const { agent, writer, statements } = world.names;
  await world.admin.query(
    `${MARKS} grant select on marks to ${agent}; grant select, insert, update on marks to ${writer}, ${statements}`,
  );
  proxy = await tcpProxy(server);
  const connectionString = server.urlFor({ ...server.superuser, database: world.names.database });
  const observer = world.pool({ connectionString });
  // Some faults stop the server.
  observer.on("error", () => {});
  parts = { world, server, proxy, observer, tokens: new Map() };
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
  await server?.stop();
});

const FAULTS: readonly Fault[] = [
  ...CALLER_FAULTS,
  ...STATEMENT_FAULTS,
  ...NETWORK_FAULTS,
  ...SERVER_FAULTS,
];

describe("the table of docs/faults.md", () => {
  it("has exactly the faults that follow", async () => {
    const page = await readFile(new URL("../../docs/faults.md", import.meta.url), "utf8");
    const [, text = ""] = page.split("<!-- faults -->");
    // To bring the page up to date, put this output between the two marks.
    const table = faultTable(FAULTS).join("\n");
    expect(plainTable(text), `docs/faults.md should have\n${table}`).toEqual(plainTable(table));
  });

  let marks = 0;
  it.each(FAULTS.map((fault) => [fault.fault, fault.call, fault] as const))(
    "%s: %s",
    async (_fault, _call, fault) => {
      if (fault.since !== undefined && Number(server.version.split(".")[0]) < fault.since) return;
      marks += 1;
      const { code, native, effect, made, connection } = fault;
      expect(await outcomeOf(fault, parts, marks)).toEqual({
        code,
        native,
        effect,
        made,
        connection,
      });
    },
  );
});
