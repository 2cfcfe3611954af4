import { SIGNATURE_ALGORITHMS } from "@behalf/core";
import { z } from "zod";

import { hostName, origin, publicUrl, scope } from "./config-names.ts";
import { declaredToolSchema } from "./config-tool-schema.ts";
import { flag, list, secretSource, secretUrlSource, text, url, whole } from "./config-values.ts";

const issuer = z.union(
  [
    url("the issuer, letter by letter as in `iss`"),
    z.strictObject({
      issuer: url("Letter by letter as in `iss`"),
      algorithms: list(z.enum(SIGNATURE_ALGORITHMS), "Signatures that are accepted").optional(),
      jwksUri: url("Where its keys are, if its metadata does not say").optional(),
    }),
  ],
  { error: "must be an issuer's URL, or an object with `issuer`" },
);

const login = z.strictObject({
  url: secretUrlSource("A PostgreSQL URL; its password comes from outside the file").optional(),
  host: text("Default is localhost").optional(),
  port: whole(1, 65_535, "Default is 5432").optional(),
  database: text("The database").optional(),
  user: text("The login").optional(),
  password: secretSource("The login's password").optional(),
  ssl: flag(
    "Whether the server must prove itself by a certificate. Default is true, but for this machine",
  ).optional(),
});

/** The whole file. */
export const configSchema = z
  .strictObject({
    server: z.strictObject({
      publicUrl: publicUrl(
        "The URL by which clients reach the MCP endpoint; its path is the one that is served",
      ),
      host: text("Where to listen. Default is 127.0.0.1").optional(),
      port: whole(0, 65_535, "0 is a free one. Default is 8080").optional(),
      allowedHosts: list(
        hostName("A host name"),
        "Names by which clients may call, beside that of publicUrl",
      ).optional(),
      allowedOrigins: list(origin("An origin"), "Web pages that may call").optional(),
      name: text("What clients call this server").optional(),
      instructions: text("What an agent's model is told about it").optional(),
      bodyLimitBytes: whole(1_024, 67_108_864, "Longest request").optional(),
      concurrentRequests: whole(1, 100_000, "Most requests at once. Default is 256").optional(),
      requestsPerHuman: whole(1, 100_000, "Most requests of one human. Default is 64").optional(),
      drainSeconds: whole(0, 3_600, "How long running calls may finish. Default is 10").optional(),
    }),
    identity: z.strictObject({
      issuers: list(issuer, "Whose tokens are accepted: one, for now").min(
        1,
        "must name at least one issuer",
      ),
      audience: text("What `aud` of a token for this gateway contains"),
      requireActor: flag("Whether a human without an agent is refused. Default is true").optional(),
      scopes: list(scope("A scope"), "OAuth scopes that clients should ask for").optional(),
      maxTokenAgeSeconds: whole(1, 86_400, "Longest time since `iat`").optional(),
    }),
    exchange: z.strictObject({
      issuer: url(
        "Who exchanges tokens: the one of identity.issuers, which is the default",
      ).optional(),
      clientId: text("The gateway at the issuer"),
      clientSecret: secretSource("The gateway's proof to the issuer"),
      audience: text("The database at the issuer, as in behalf.set_audience"),
      resource: text("RFC 8707 resource, for issuers that ask for it").optional(),
      scope: list(scope("A scope"), "Scopes to ask for").optional(),
    }),
    database: z.strictObject({
      sandbox: login.describe("The login for agents' own statements"),
      statements: login
        .describe("The login for declared statements; another than sandbox")
        .optional(),
      maxConnections: whole(1, 1_000, "Of each login. Default is 10").optional(),
      maxConnectionsPerHuman: whole(
        1,
        1_000,
        "Most that one human holds at a time. Default is a quarter, rounded up",
      ).optional(),
      maxCallsPerHuman: whole(
        1,
        100_000,
        "Most calls of one human that run or wait. Default is 64",
      ).optional(),
      deadlineSeconds: whole(1, 3_600, "Longest call. Default is 30").optional(),
      defaultRows: whole(
        1,
        1_000_000,
        "Rows where an agent does not say. Default is 100",
      ).optional(),
      maxRows: whole(1, 1_000_000, "Most rows an agent can ask for. Default is 1000").optional(),
      maxBytes: whole(
        1_024,
        268_435_456,
        "Most bytes of an answer's rows. Default is 1 MiB",
      ).optional(),
      preparedStatements: flag(
        "false behind a PgBouncer before 1.21, which loses them. Default is true",
      ).optional(),
    }),
    records: z.strictObject({
      path: text("The file of records; its folder must be there"),
      statements: z
        .enum(["hash", "text"], { error: "must be hash or text" })
        .optional()
        .describe("How statements are recorded. Default is hash"),
      durability: z
        .enum(["fsync", "write"], { error: "must be fsync or write" })
        .optional()
        .describe("Default is fsync"),
    }),
    tools: z
      .strictObject({
        query: flag("Default is true").optional(),
        describeTables: flag("Default is true").optional(),
        whoAmI: flag("Default is true").optional(),
        write: flag("Default is false").optional(),
      })
      .optional()
      .describe("Built-in tools"),
    statementTools: list(declaredToolSchema, "Tools of your own").optional(),
  })
  .meta({ title: "behalf.yaml", description: "Configuration of behalf serve" });

/** The file as it was written: secrets are still sources. */
export type ConfigFile = z.output<typeof configSchema>;
export type LoginFile = ConfigFile["database"]["sandbox"];
