import type { Random } from "./random.ts";
import type { Table } from "./schema.ts";

/** Where a policy has a claim from: the sealed human, or the native login's own row. */
export interface Claims {
  /** SQL for one claim as text. */
  readonly claim: (name: string) => string;
  /** SQL for all claims as jsonb. */
  readonly all: string;
}

/** As the documentation writes it. */
export const SEALED: Claims = {
  claim: (name) => `(select behalf.claim('${name}'))`,
  all: "(select behalf.claims())",
};

/** The same conditions for somebody who logged in: what is known of them stands in a table. */
export const NATIVE: Claims = {
  claim: (name) =>
    `(select c.claims ->> '${name}' from direct.claims c where c.login = session_user)`,
  all: "(select c.claims from direct.claims c where c.login = session_user)",
};

export type Condition = (claims: Claims) => string;

export interface Policy {
  readonly name: string;
  readonly isPermissive: boolean;
  readonly command: "all" | "select" | "insert" | "update" | "delete";
  readonly using?: Condition;
  readonly check?: Condition;
}

const CONDITIONS: readonly Condition[] = [
  ({ claim }) => `owner = ${claim("sub")}`,
  ({ claim }) => `org = ${claim("org_id")}`,
  ({ claim }) => `org = ${claim("org_id")} and (not secret or owner = ${claim("sub")})`,
  ({ claim }) => `not secret or owner = ${claim("sub")}`,
  ({ claim }) => `team = any (array(select play.teams_of(${claim("sub")})))`,
  ({ claim }) => `team = any (array(select jsonb_array_elements_text(${claim("teams")}::jsonb)))`,
  ({ all }) => `${all} -> 'teams' ? team`,
  ({ claim }) => `level <= (${claim("level")})::int`,
  ({ all }) => `(${all} #>> '{office,country}') = 'fr' or level > 2`,
  ({ claim }) => `org is not distinct from ${claim("org_id")} or team is null`,
  ({ claim }) => `${claim("no_such_claim")} is null and level < 4`,
  () => "true",
  () => "level % 2 = 0",
];

const RESTRICTIONS: readonly Condition[] = [
  () => "not secret",
  ({ claim }) => `org <> 'initech' or ${claim("level")} = '3'`,
  () => "level < 4",
];

/** The policies of one table: one form for agents and one for natives, of the same meaning. */
export function policies(random: Random, table: Table, parent: Table | null): readonly Policy[] {
  const conditions =
    parent === null
      ? CONDITIONS
      : [
          ...CONDITIONS,
          () => `exists (select from play.${parent.name} up where up.id = ${table.name}.parent)`,
        ];
  const using = random.pick(conditions);
  const made: Policy[] = [];
  switch (random.int(5)) {
    case 0:
      made.push({ name: "everything", isPermissive: true, command: "all", using });
      break;
    case 1:
      made.push({
        name: "everything",
        isPermissive: true,
        command: "all",
        using,
        check: random.pick(CONDITIONS),
      });
      break;
    default:
      made.push({ name: "reads", isPermissive: true, command: "select", using });
      if (random.chance(0.7)) {
        made.push({
          name: "creates",
          isPermissive: true,
          command: "insert",
          check: random.pick(CONDITIONS),
        });
      }
      if (random.chance(0.7)) {
        made.push({
          name: "updates",
          isPermissive: true,
          command: "update",
          using: random.pick(CONDITIONS),
          ...(random.chance(0.5) ? { check: random.pick(CONDITIONS) } : {}),
        });
      }
      if (random.chance(0.7)) {
        made.push({
          name: "deletes",
          isPermissive: true,
          command: "delete",
          using: random.pick(CONDITIONS),
        });
      }
  }
  if (random.chance(0.3)) {
    made.push({
      name: "more",
      isPermissive: true,
      command: "select",
      using: random.pick(CONDITIONS),
    });
  }
  if (random.chance(0.4)) {
    made.push({
      name: "never",
      isPermissive: false,
      command: random.pick(["all", "select"] as const),
      using: random.pick(RESTRICTIONS),
    });
  }
  // No permissive policy at all: nobody sees a row.
  return random.chance(0.03) ? made.filter(({ isPermissive }) => !isPermissive) : made;
}

export function policyText(policy: Policy, table: string, role: string, claims: Claims): string {
  const { name, isPermissive, command, using, check } = policy;
  return (
    `create policy ${name}_${role} on play.${table} as ${isPermissive ? "permissive" : "restrictive"} for ${command} to ${role}` +
    (using === undefined ? "" : ` using (${using(claims)})`) +
    (check === undefined ? "" : ` with check (${check(claims)})`)
  );
}
