import { format, inspect } from "node:util";
import { expect, it } from "vitest";
import { Secret } from "./secret.ts";

it("shows itself to nobody who does not ask for it", () => {
  const secret = new Secret("hunter2");
  const holder = { secret, list: [secret], map: new Map([["k", secret]]) };
  const error = Object.assign(new Error(`with ${String(secret)}`), holder);
  const shown = [
    // oxlint-disable-next-line typescript/restrict-template-expressions -- the accident to be survived
    `${secret}`,
    String(secret),
    secret + "",
    JSON.stringify(holder),
    inspect(holder, { depth: Infinity, showHidden: true, getters: true, showProxy: true }),
    inspect(error, { depth: Infinity, showHidden: true }),
    format("%s %o %O %j", secret, holder, holder, holder),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(Object.assign({}, secret)),
    JSON.stringify(Reflect.ownKeys(secret)),
  ].join("\n");
  expect(shown).not.toContain("hunter2");
  expect(shown).toContain("[redacted]");
  expect(secret.reveal()).toBe("hunter2");
});
