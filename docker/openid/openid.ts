// FOR TRYING OUT ONLY: an OpenID provider at which everybody may be anybody, without a password.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { startOpenIdProvider } from "@behalf/local";

const {
  SECRETS_FOLDER = "/run/secrets",
  LISTEN_HOST = "127.0.0.1",
  LISTEN_PORT = "0",
} = process.env;

const GATEWAY = "urn:behalf:demo:gateway";
const DATABASE = "urn:behalf:demo:database";

const idp = await startOpenIdProvider({
  host: LISTEN_HOST,
  port: Number(LISTEN_PORT),
  accessTokenTtlSeconds: 600,
  humans: [
    { sub: "alice", name: "Alice of Acme", claims: { org_id: "acme" } },
    { sub: "bob", name: "Bob of Globex", claims: { org_id: "globex" } },
  ],
  clients: [
    {
      clientId: "assistant",
      clientSecret: secret("assistant_secret"),
      actor: { sub: "agent:assistant", sub_profile: "ai_agent" },
      localSignIn: true,
    },
    {
      clientId: "shop-gateway",
      clientSecret: secret("gateway_secret"),
      actor: { sub: "gateway:shop", sub_profile: "service" },
      audiences: [GATEWAY],
      mayExchangeFor: [DATABASE],
    },
  ],
  resources: [{ audience: GATEWAY }, { audience: DATABASE }],
});
console.log(`openid: for trying out only; the issuer is ${idp.issuer}`);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => void idp.close());
}

function secret(name: string): string {
  const value = readFileSync(join(SECRETS_FOLDER, name), "utf8").replace(/\r?\n$/, "");
  if (value === "") throw new Error(`${name} is empty; make it with docker/make-secrets.sh`);
  return value;
}
