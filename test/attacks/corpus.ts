import type { AttackCase, Category, PlacedCase } from "./attack-case.ts";
import { ddl } from "./cases/ddl.ts";
import { denialOfService } from "./cases/denial-of-service.ts";
import { escape } from "./cases/escape.ts";
import { identity } from "./cases/identity.ts";
import { monitoring } from "./cases/monitoring.ts";
import { poolResidue } from "./cases/pool-residue.ts";
import { role } from "./cases/role.ts";
import { sideChannel } from "./cases/side-channel.ts";

const BY_CATEGORY: Readonly<Record<Category, readonly AttackCase[]>> = {
  identity,
  role,
  "pool residue": poolResidue,
  escape,
  ddl,
  monitoring,
  "side channel": sideChannel,
  "denial of service": denialOfService,
};

/** Every case. */
export const CORPUS: readonly PlacedCase[] = Object.entries(BY_CATEGORY).flatMap(
  ([category, cases]) => cases.map((one) => ({ ...one, category: category as Category })),
);
