import { expect, test } from "vitest";
import { bearer } from "./bearer.ts";

test("of calls whose token is refused at the same time only the first signs in again", async () => {
  let signIns = 0;
  const held = bearer(async () => `token ${(signIns += 1)}`);
  expect(await Promise.all([held.token(), held.token()])).toEqual(["token 1", "token 1"]);
  await Promise.all([held.renew(), held.renew()]);
  expect(await held.token()).toBe("token 2");
  await held.renew();
  expect(await held.token()).toBe("token 3");
});
