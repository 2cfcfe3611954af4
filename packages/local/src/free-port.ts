import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Asks the operating system for a TCP port on 127.0.0.1 that is free now. Another process may take
 * it before the caller does, so whoever binds it must be ready to ask again.
 */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") {
    throw new Error("[@behalf/local] the operating system gave no TCP port on 127.0.0.1");
  }
  return address.port;
}
