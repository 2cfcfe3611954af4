import {
  belowFunction,
  type ColumnTypes,
  conditionSql,
  FUNCTIONS_SCHEMA,
  membersFunction,
} from "./emit-postgres-condition.ts";
import type { Rule } from "./intermediate.ts";
import type { EntityMapping, PolicySchema, Relation } from "./policy-schema.ts";
import { PolicyError, type PolicyProblem } from "./problems.ts";
import { claimSql } from "./postgres-claim.ts";
import { Unsupported } from "./unsupported.ts";
import { quotedName, quotedText } from "./postgres-text.ts";

export interface EmitPostgresOptions {
  readonly schema: PolicySchema;
  readonly rules: readonly Rule[];
  /** By `schema.table`, and then by column. */
  readonly columns: Readonly<Record<string, ColumnTypes>>;
}

/**
 * The SELECT policies of every table, and the functions that they call. Guard and forbids stand in each permit:
 * beside it, as restrictive policies, they would cost it the index where its operators are not leakproof.
 *
 * So far with columns of text, smallint, integer, bigint, boolean and text[], and for one type of principals.
 *
 * @throws {PolicyError} if a rule needs more than that. There is no partial result.
 */
export function emitPostgresRead({ schema, rules, columns }: EmitPostgresOptions): string {
  const reads = rules.filter(({ verb }) => verb === "read");
  const problems: PolicyProblem[] = [];
  const [first] = reads;
  /** The SQL of one rule; what it cannot say is a problem of its policy. */
  const conditionOf = (rule: Rule): string => {
    const human = schema.entities.get(rule.humanType);
    const row = schema.entities.get(rule.rowType);
    if (human === undefined || row?.table === undefined) {
      throw new TypeError(`${rule.rowType} has no table`);
    }
    try {
      if (rule.humanType !== first?.humanType) {
        throw new Unsupported(
          `policies for ${rule.humanType} and for ${first?.humanType} are not emitted together yet`,
          "keep each type of principals in a schema of its own",
        );
      }
      const types = columns[`${row.table.schema}.${row.table.table}`] ?? {};
      return conditionSql(rule.condition, true, { human, row, columns: types });
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      const { message, help } = error;
      const { id: policyId, position } = rule;
      problems.push({ code: "unsupported", message, help, policyId, position });
      return "false";
    }
  };
  const emitted = reads.map((rule) => ({ ...rule, sql: conditionOf(rule) }));
  if (problems.length > 0) throw new PolicyError(problems);
  const policies = emitted
    .filter(({ effect }) => effect === "permit")
    .map(({ nativeName, humanType, rowType, sql }) => {
      const human = schema.entities.get(humanType);
      const table = schema.entities.get(rowType)?.table;
      if (human === undefined || table === undefined)
        throw new TypeError(`${rowType} has no table`);
      const name = `${quotedName(table.schema)}.${quotedName(table.table)}`;
      const forbids = emitted.filter(
        (rule) =>
          rule.effect === "forbid" && rule.humanType === humanType && rule.rowType === rowType,
      );
      const parts = [
        guard(human, name),
        sql,
        ...forbids.map((forbid) => `(${forbid.sql}) is not true`),
      ];
      return `create policy ${quotedName(nativeName)} on ${name} for select to behalf_agents\n  using (${parts.join("\n    and ")});`;
    });
  return [...functions(schema), ...policies].join("\n\n");
}

function guard({ human }: EntityMapping, table: string): string {
  const parts = [`behalf.allows(${quotedText(table)}::regclass, 'read', current_user)`];
  if (human?.issuer !== undefined) {
    parts.push(`behalf.claim('iss') = ${quotedText(human.issuer)}`);
  }
  // The kit starts no call without sub. Who lacks another claim is nobody: `unless` would let them pass.
  if (human !== undefined && human.claim.join("/") !== "sub") {
    parts.push(`${claimSql(human.claim, { kind: "string" }, [])} is not null`);
  }
  return `(select ${parts.join(" and ")})`;
}

const DEFINER = `language sql stable security definer parallel restricted\nset search_path = pg_catalog, pg_temp`;

function relation({ schema, table }: Relation): string {
  return `${quotedName(schema)}.${quotedName(table)}`;
}

/** A subquery in a policy reads as the agent role, under the other table's own policies: hence definer. */
function functions(schema: PolicySchema): readonly string[] {
  const groups = [...schema.entities.values()].filter(
    ({ members, hierarchy }) => members !== undefined || hierarchy !== undefined,
  );
  if (groups.length === 0) return [];
  const [human] = [...schema.entities.values()].filter((each) => each.human !== undefined);
  const caller = claimSql(human?.human?.claim ?? ["sub"], { kind: "string" }, []);
  return [
    `create schema if not exists ${FUNCTIONS_SCHEMA};\ngrant usage on schema ${FUNCTIONS_SCHEMA} to behalf_agents;`,
    ...groups.flatMap((group) => [...membersOf(group, caller), ...below(group)]),
    `revoke all on all functions in schema ${FUNCTIONS_SCHEMA} from public;\ngrant execute on all functions in schema ${FUNCTIONS_SCHEMA} to behalf_agents;`,
  ];
}

function membersOf({ name, members, hierarchy }: EntityMapping, caller: string): readonly string[] {
  if (members === undefined) return [];
  const direct =
    members.from === "table"
      ? `select m.${quotedName(members.relation.columns[1])}::text from ${relation(members.relation)} m where m.${quotedName(members.relation.columns[0])}::text = ${caller}`
      : `select unnest(${claimSql(members.claim, { kind: "set", element: { kind: "string" } }, [])})`;
  const upwards =
    hierarchy === undefined
      ? ""
      : `\n    union\n    select h.${quotedName(hierarchy.columns[1])}::text from up join ${relation(hierarchy)} h on h.${quotedName(hierarchy.columns[0])}::text = up.id where h.${quotedName(hierarchy.columns[1])} is not null`;
  return [
    `create function ${membersFunction(name)}() returns text[]\n${DEFINER}\nas $behalf$\n  with recursive up (id) as (\n    ${direct}${upwards}\n  )\n  select coalesce(array_agg(up.id), '{}') from up\n$behalf$;`,
  ];
}

function below({ name, hierarchy }: EntityMapping): readonly string[] {
  const downwards =
    hierarchy === undefined
      ? ""
      : `\n    union\n    select h.${quotedName(hierarchy.columns[0])}::text from down join ${relation(hierarchy)} h on h.${quotedName(hierarchy.columns[1])}::text = down.id`;
  return [
    `create function ${belowFunction(name)}(top text) returns text[]\n${DEFINER} strict\nas $behalf$\n  with recursive down (id) as (\n    select top${downwards}\n  )\n  select array_agg(down.id) from down\n$behalf$;`,
  ];
}
