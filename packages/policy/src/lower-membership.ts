import { both, always, provided } from "./conditions.ts";
import type { Environment } from "./environment.ts";
import type { Condition, Value, Via } from "./intermediate.ts";
import { type ActionMapping, entityText } from "./policy-schema.ts";
import { unvalidated, Unsupported } from "./unsupported.ts";

/** `entity in groups` */
export function lowerIn(entity: Value, groups: Value, environment: Environment): Condition {
  const target = groups.type.kind === "set" ? groups.type.element : groups.type;
  if (entity.type.kind !== "entity" || target.kind !== "entity") {
    throw unvalidated("in of what is no entity");
  }
  const action = environment.schema.actions.find(({ name }) => name === literalName(entity));
  if (action !== undefined) return actionIn(action, groups);
  const via = viaOf(entity, entity.type.name, target.name, environment);
  if (via.kind === "nothing" && entity.type.name !== target.name) {
    return provided(false, entity, groups);
  }
  return { kind: "isIn", entity, groups, via };
}

/** `entity is type` and `entity is type in groups` */
export function lowerIs(
  entity: Value,
  type: string,
  groups: (() => Value) | undefined,
  environment: Environment,
): Condition {
  if (entity.type.kind !== "entity") throw unvalidated("is of what is no entity");
  const isType = provided(entity.type.name === type, entity);
  return groups === undefined ? isType : both(isType, () => lowerIn(entity, groups(), environment));
}

/** As Cedar writes an entity that stands in the policy. */
function literalName(value: Value): string | undefined {
  return value.kind === "literal" && value.type.kind === "entity"
    ? entityText(value.type.name, String(value.value))
    : undefined;
}

function actionIn({ isIn }: ActionMapping, groups: Value): Condition {
  const named = groups.kind === "set" ? groups.elements : [groups];
  return always(named.some((each) => isIn.has(literalName(each) ?? "")));
}

function viaOf(entity: Value, type: string, group: string, environment: Environment): Via {
  const { schema, human, row } = environment;
  if (!schema.entities.get(type)?.parents.includes(group)) return { kind: "nothing" };
  if (entity.kind === "human" && type === human.name) return { kind: "membership", group };
  if (entity.kind === "row" && type === row.name) {
    const columns = [...row.attributes.values()]
      .filter((each) => each.isParent && each.type.kind === "entity" && each.type.name === group)
      .map(({ name, type: declared, column = name }) => ({
        kind: "column" as const,
        type: declared,
        column,
        declared,
        fields: [],
      }));
    if (columns.length > 0) return { kind: "parents", group, columns };
    throw new Unsupported(
      `nothing says in which ${group} a ${type} is`,
      `mark the attribute that names it in the schema with @parent`,
      "in",
    );
  }
  if (type === group) return { kind: "hierarchy", group };
  throw new Unsupported(
    `which ${group} another ${type} is in would be looked up for every row`,
    entity.kind === "literal"
      ? "write principal or resource on the left side"
      : `let the row have a column that names the ${group}`,
    "in",
  );
}
