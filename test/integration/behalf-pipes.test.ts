import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, inject, it } from "vitest";

import { behalf } from "../support/behalf-command.ts";
import { worldConfig, worldSecrets } from "../support/behalf-config.ts";
import { currentRequest } from "../support/gateway-world.ts";
import { until } from "../support/failure.ts";
import { makeWorld } from "../support/world.ts";

it("serves on, and ends as it should, when nobody reads its lines any more", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  const folder = mkdtempSync(join(tmpdir(), "behalf-pipes-"));
  const config = join(folder, "behalf.yaml");
  writeFileSync(config, worldConfig(world).replace("path: records.jsonl", "path: /dev/full"));
  const run = behalf(["serve", "--config", config], worldSecrets(world));
  try {
    const [, origin = ""] = await run.printed(/listening on (http:\S+)/);
    run.process.stdout?.destroy();
    run.process.stderr?.destroy();
    const { body, headers } = currentRequest("tools/call", {
      name: "query",
      arguments: { sql: "select 1" },
    });
    const authorization = `Bearer ${await world.token("alice")}`;
    // Each one fails for want of records, and is a line for the operator.
    for (let n = 0; n < 5; n++) {
      const { status } = await fetch(`${origin}/mcp`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization, ...headers },
        body: JSON.stringify(body),
      });
      expect(status).toBe(200);
    }
    // Who cannot record should be sent nobody.
    await until(async () => (await fetch(`${origin}/readyz`)).status === 503);
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    run.process.kill("SIGTERM");
    expect(await run.ended).toBe(0);
  } finally {
    run.process.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});
