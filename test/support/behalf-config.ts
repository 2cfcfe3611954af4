import { DATABASE, GATEWAY, GATEWAY_SECRET, type World } from "./world.ts";

/** What `behalf serve` needs before a world's database: the smallest file that does. */
export function worldConfig(world: World): string {
  const { hostname, port } = new URL(world.url());
  // A container's address is not loopback, and the tests' server speaks no TLS.
  return `server:
  publicUrl: http://gateway.test/mcp
  port: 0
  drainSeconds: 20
identity:
  issuers:
    - ${world.idp.issuer}
  audience: ${GATEWAY}
exchange:
  clientId: gateway
  clientSecret: \${env:GATEWAY_SECRET}
  audience: ${DATABASE}
database:
  sandbox:
    url: postgres://${world.names.gateway}:\${env:DB_PASSWORD}@${hostname}:${port}/${world.names.database}?sslmode=disable
records:
  path: records.jsonl
`;
}

/** The environment that the file names. */
export function worldSecrets(world: World): Record<string, string> {
  return {
    GATEWAY_SECRET,
    DB_PASSWORD: world.passwords.gateway,
    STATEMENTS_PASSWORD: world.passwords.statementGateway,
  };
}
