export { postgres } from "./postgres-adapter.ts";
export { databaseProblems, type CheckClient } from "./postgres-check.ts";
export type { PostgresOptions } from "./postgres-options.ts";
export type { PgClient, PgConnection, PgPool } from "./pg-structure.ts";
export { installKit, uninstallKit, type AdminClient } from "./postgres-kit.ts";
export { syncKeys, type KeyClient, type SyncKeysOptions } from "./postgres-keys.ts";
