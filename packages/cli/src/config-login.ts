import { Secret } from "@behalf/core";
import type pg from "pg";

import { pathText, type ConfigProblem } from "./config-problem.ts";
import type { LoginFile } from "./config-schema.ts";
import type { SecretReader } from "./config-secret.ts";
import { isLoopback } from "./loopback.ts";

/** A login of the database, ready to be connected with. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: Secret;
  /** `sslmode` and `sslrootcert` of a URL, or what `ssl` of the file says. */
  readonly ssl: pg.ClientConfig["ssl"];
}

/** What `pg_stat_activity` shows for connections of this command that serve no call. */
export const APPLICATION_NAME = "behalf-gateway";

/** What is wrong with it goes to `problems`; the login is then of no use. */
export function loginOf(
  file: LoginFile,
  path: readonly PropertyKey[],
  secrets: SecretReader,
  problems: ConfigProblem[],
): Login {
  const where = pathText(path);
  const problem = (message: string, key?: string) =>
    problems.push({
      path: key === undefined ? path : [...path, key],
      message: `${where} ${message}`,
    });
  const password =
    file.password === undefined ? undefined : secrets.read(file.password, [...path, "password"]);
  if (file.url === undefined) {
    for (const key of ["user", "database"] as const) {
      if (file[key] === undefined) problem(`names no ${key}; add ${key}, or give a url`);
    }
    if (password === undefined) problem("has no password; add password: ${env:NAME}");
    const host = file.host ?? "localhost";
    return {
      host,
      port: file.port ?? 5432,
      database: file.database ?? "",
      user: file.user ?? "",
      password: password ?? new Secret(""),
      ssl: file.ssl ?? !isHere(host),
    };
  }
  const before = secrets.problems.length;
  const url = URL.parse(secrets.read(file.url, [...path, "url"]).reveal());
  for (const key of ["host", "port", "database", "user", "ssl"] as const) {
    if (file[key] !== undefined) problem(`has both url and ${key}; keep one of them`, key);
  }
  if (secrets.problems.length === before) {
    if (url === null || !["postgres:", "postgresql:"].includes(url.protocol)) {
      problem("must be postgres://user:password@host:port/database; correct its source", "url");
    } else if (url.username === "" || url.pathname.length < 2) {
      problem("names no login or no database; add them to the url", "url");
    } else if (url.password === "" && password === undefined) {
      problem("has no password; add password: ${env:NAME}", "url");
    }
  }
  const decoded = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      problem("holds a % that begins no code; write % as %25", "url");
      return "";
    }
  };
  for (const [name, value] of url?.searchParams ?? []) {
    const why = parameterProblem(name, value);
    if (why !== undefined) problem(why, "url");
  }
  // A socket's folder has no place in a URL but its query.
  const host =
    url?.searchParams.get("host") ??
    (decoded(url?.hostname ?? "").replaceAll(/^\[|\]$/g, "") || "localhost");
  const authority = url?.searchParams.get("sslrootcert") ?? "system";
  const remedy = "correct sslrootcert, which names a file of certificates";
  const ca =
    authority === "system" ? undefined : secrets.file(authority, [...path, "url"], remedy).reveal();
  return {
    host,
    port: Number(url?.port === "" ? 5432 : (url?.port ?? 5432)),
    database: decoded(url?.pathname.slice(1) ?? ""),
    user: decoded(url?.username ?? ""),
    password: password ?? new Secret(decoded(url?.password ?? "")),
    ssl: sslOf(url?.searchParams.get("sslmode"), host, ca),
  };
}

const MODES: ReadonlySet<string> = new Set([
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
]);

/** What is not read here would be ignored, and its author believe that it holds. Values may be secrets. */
function parameterProblem(name: string, value: string): string | undefined {
  if (name === "sslmode" && !MODES.has(value)) {
    return `has an sslmode that there is not; write one of ${[...MODES].join(", ")}`;
  }
  if (["host", "sslmode", "sslrootcert"].includes(name)) return undefined;
  return /^[a-z_]{1,40}$/.test(name)
    ? `has the parameter ${name}, which is not read; remove it (known are host, sslmode, sslrootcert)`
    : "has a parameter that is not read; remove it (known are host, sslmode, sslrootcert)";
}

/** As libpq reads `sslmode`, but that what is encrypted is also verified: nothing else keeps a listener out. */
function sslOf(
  mode: string | null | undefined,
  host: string,
  ca: string | undefined,
): Login["ssl"] {
  const verified = ca === undefined ? true : { ca };
  switch (mode) {
    case "disable":
      return false;
    case null:
    case undefined:
    case "prefer":
    case "allow":
      return ca === undefined ? !isHere(host) : verified;
    default:
      return verified;
  }
}

function isHere(host: string): boolean {
  return host.startsWith("/") || isLoopback(host);
}

/** For `pg`. */
export function clientConfig({ password, ssl, ...login }: Login): pg.ClientConfig {
  return {
    ...login,
    ...(ssl === undefined ? {} : { ssl }),
    password: password.reveal(),
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: 5_000,
  };
}
