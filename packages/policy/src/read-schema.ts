import type { DetailedError, SchemaJson } from "@cedar-policy/cedar-wasm/nodejs";

import { claimPath, columnName, misplaced, relationName, tableName } from "./annotations.ts";
import type { CedarEngine } from "./cedar-engine.ts";
import {
  commonTypes,
  type JsonAttribute,
  type JsonType,
  qualified,
  type Resolve,
  valueType,
} from "./cedar-types.ts";
import { nearestName } from "./nearest-name.ts";
import {
  type ActionMapping,
  type Attribute,
  type ContextAttribute,
  type EntityMapping,
  entityText,
  type PolicySchema,
  typeText,
  type ValueType,
  type Verb,
} from "./policy-schema.ts";
import { type PolicyProblem, problemAt } from "./problems.ts";
import { schemaPlaces } from "./schema-places.ts";
import { indexOfByte, type SourceText } from "./source-text.ts";

const VERBS: readonly Verb[] = ["read", "create", "update", "delete"];

type Annotations = Readonly<Record<string, string>>;

/** Says that something is wrong with an annotation, or with what it stands on. */
type Report = (
  at: {
    readonly declared: string;
    readonly attribute?: string | undefined;
    readonly annotation?: string | undefined;
  },
  message: string,
  help?: string,
) => undefined;

/** What the whole schema says of an entity type's use. */
interface Uses {
  readonly principals: ReadonlySet<string>;
  readonly resources: ReadonlySet<string>;
  /** Types that a human may be in, directly or through another type. */
  readonly aboveHumans: ReadonlySet<string>;
}

/** Reads the schema and its mapping. Every problem is reported; with one, the schema must not be used. */
export function readSchema(
  engine: CedarEngine,
  source: SourceText,
): { readonly schema: PolicySchema | undefined; readonly problems: readonly PolicyProblem[] } {
  const answer = engine.schema(source.text);
  if (!answer.ok) {
    return {
      schema: undefined,
      problems: answer.errors.map((error) => schemaProblem(source, error, "schema")),
    };
  }
  const { json, warnings } = answer.value;
  const problems = warnings.map((warning) => schemaProblem(source, warning, "warning"));
  const places = schemaPlaces(source.text);
  for (const { name, start, end } of places.repeated) {
    problems.push(
      problemAt(
        source,
        { start, end },
        {
          code: "mapping",
          message: `${name} is declared a second time, and Cedar would take this one in silence`,
          help: "take one of them away",
        },
      ),
    );
  }
  const report: Report = ({ declared, attribute, annotation }, message, help) => {
    const place = places.of(lastName(declared), attribute, annotation);
    problems.push(problemAt(source, place, { code: "mapping", message, help }));
  };
  const schema = readMapping(json, report);
  return { schema: problems.length === 0 ? schema : undefined, problems };
}

function schemaProblem(
  source: SourceText,
  { message, help, sourceLocations }: DetailedError,
  code: "schema" | "warning",
): PolicyProblem {
  const { start = 0, end = 0, label } = sourceLocations?.[0] ?? {};
  return problemAt(
    source,
    { start: indexOfByte(source.text, start), end: indexOfByte(source.text, end) },
    {
      code,
      message: message.replace(/^error parsing schema: /, ""),
      help: help ?? label ?? undefined,
    },
  );
}

const lastName = (name: string) => name.slice(name.lastIndexOf(":") + 1);

function readMapping(json: SchemaJson<string>, report: Report): PolicySchema {
  const resolve = commonTypes(json);
  const actions: ActionMapping[] = [];
  const parentsOf = new Map<string, readonly string[]>();
  for (const [namespace, definition] of Object.entries(json)) {
    checkAnnotations(definition.annotations, "other", { declared: namespace }, report);
    for (const [name, type] of Object.entries(definition.commonTypes ?? {})) {
      checkAnnotations(type.annotations, "other", { declared: name }, report);
    }
    for (const [name, type] of Object.entries(definition.entityTypes)) {
      parentsOf.set(
        qualified(namespace, name),
        "memberOfTypes" in type ? (type.memberOfTypes ?? []) : [],
      );
    }
  }
  const groups = actionGroups(json);
  for (const [namespace, definition] of Object.entries(json)) {
    for (const [id, action] of Object.entries(definition.actions)) {
      const { principalTypes = [], resourceTypes = [], context } = action.appliesTo ?? {};
      const annotations = action.annotations ?? {};
      checkAnnotations(annotations, "action", { declared: id }, report);
      const isUsed = principalTypes.length > 0 && resourceTypes.length > 0;
      const type = qualified(namespace, "Action");
      const name = entityText(type, id);
      const verb = readVerb(id, annotations, isUsed, report);
      if (!isUsed) continue;
      const record = context === undefined ? undefined : resolve(context);
      actions.push({
        name,
        type,
        id,
        verb,
        isIn: groups(name),
        // Cedar lets a type be named twice.
        principalTypes: [...new Set(principalTypes)],
        resourceTypes: [...new Set(resourceTypes)],
        context: readContext(id, record?.attributes ?? {}, resolve, report),
      });
    }
  }
  for (const action of actions) checkOneActionPerVerb(action, actions, report);
  const principals = new Set(actions.flatMap(({ principalTypes }) => principalTypes));
  const aboveHumans = new Set<string>();
  const above = (name: string) => {
    for (const parent of parentsOf.get(name) ?? []) {
      if (aboveHumans.has(parent)) continue;
      aboveHumans.add(parent);
      above(parent);
    }
  };
  for (const name of principals) above(name);
  const uses: Uses = {
    principals,
    resources: new Set(
      actions.flatMap(({ verb, resourceTypes }) => (verb === undefined ? [] : resourceTypes)),
    ),
    aboveHumans,
  };

  const entities = new Map<string, EntityMapping>();
  const tables = new Map<string, string>();
  for (const [namespace, definition] of Object.entries(json)) {
    for (const [short, type] of Object.entries(definition.entityTypes)) {
      const name = qualified(namespace, short);
      const entity = readEntity(name, type, uses, resolve, report);
      entities.set(name, entity);
      if (entity.table === undefined) continue;
      const table = `${entity.table.schema}.${entity.table.table}`;
      const other = tables.get(table);
      if (other !== undefined) {
        report(
          { declared: name, annotation: "table" },
          `${table} is the table of ${other} already`,
          "a row is an entity of one type: give one of them another table or a view",
        );
      }
      tables.set(table, name);
    }
  }
  for (const entity of entities.values()) checkGroups(entity, entities, uses, report);
  return { entities, actions };
}

function checkAnnotations(
  annotations: Annotations | undefined,
  site: Parameters<typeof misplaced>[1],
  at: Parameters<Report>[0],
  report: Report,
): void {
  for (const annotation of Object.keys(annotations ?? {})) {
    const wrong = misplaced(annotation, site);
    if (wrong !== undefined) report({ ...at, annotation }, wrong.message, wrong.help);
  }
}

/** A database asks one question per verb: of two actions, a permit for one would open the other. */
function checkOneActionPerVerb(
  action: ActionMapping,
  actions: readonly ActionMapping[],
  report: Report,
): void {
  const other = actions
    .slice(0, actions.indexOf(action))
    .find(
      ({ verb, principalTypes, resourceTypes }) =>
        verb !== undefined &&
        verb === action.verb &&
        principalTypes.some((type) => action.principalTypes.includes(type)) &&
        resourceTypes.some((type) => action.resourceTypes.includes(type)),
    );
  if (other === undefined) return;
  report(
    { declared: action.id, annotation: "verb" },
    `${other.name} is the verb ${JSON.stringify(action.verb)} of the same tables already`,
    'a table is asked one question for each verb: give one of them @verb("none")',
  );
}

/** Every action group that an action is in, itself among them. */
function actionGroups(json: SchemaJson<string>): (name: string) => ReadonlySet<string> {
  const parents = new Map<string, readonly string[]>();
  for (const [namespace, definition] of Object.entries(json)) {
    const type = qualified(namespace, "Action");
    for (const [id, { memberOf = [] }] of Object.entries(definition.actions)) {
      parents.set(
        entityText(type, id),
        memberOf.map((parent) => entityText(parent.type ?? type, parent.id)),
      );
    }
  }
  return (name) => {
    const found = new Set([name]);
    for (const each of found) for (const parent of parents.get(each) ?? []) found.add(parent);
    return found;
  };
}

function readVerb(
  id: string,
  annotations: Annotations,
  isUsed: boolean,
  report: Report,
): Verb | undefined {
  const value = annotations["verb"];
  const at = { declared: id, annotation: "verb" };
  if (value !== undefined && !isUsed) {
    return report(
      at,
      "@verb stands on an action that applies to nothing",
      "a group of actions has no verb; its members have",
    );
  }
  if (!isUsed || value === "none") return undefined;
  const verb = VERBS.find((each) => each === (value ?? id));
  if (verb !== undefined) return verb;
  if (value === undefined) {
    return report(
      { declared: id },
      `nothing says which verb of a database the action ${JSON.stringify(id)} is`,
      'write @verb("read"), "create", "update" or "delete", or @verb("none") if only the application asks it',
    );
  }
  const nearest = nearestName(value, [...VERBS, "none"]);
  return report(
    at,
    `there is no verb ${JSON.stringify(value)}`,
    nearest === undefined
      ? "there are read, create, update, delete, and none"
      : `did you mean ${JSON.stringify(nearest)}?`,
  );
}

function readContext(
  action: string,
  attributes: Readonly<Record<string, JsonAttribute>>,
  resolve: Resolve,
  report: Report,
): ReadonlyMap<string, ContextAttribute> {
  const context = new Map<string, ContextAttribute>();
  for (const [name, json] of Object.entries(attributes)) {
    const at = { declared: action, attribute: name };
    checkAnnotations(json.annotations, "context", at, report);
    checkFieldAnnotations(action, json, resolve, report);
    const type = valueType(json, resolve);
    refuseClaimType(type, at, report);
    const claim = readClaim(json.annotations ?? {}, name, at, report);
    context.set(name, { name, type, isOptional: json.required === false, claim });
  }
  return context;
}

/** Attributes of records within attributes are mapped by their own names. */
function checkFieldAnnotations(
  declared: string,
  json: JsonType,
  resolve: Resolve,
  report: Report,
): void {
  const type = resolve(json);
  if (type.element !== undefined) checkFieldAnnotations(declared, type.element, resolve, report);
  for (const [attribute, field] of Object.entries(type.attributes ?? {})) {
    checkAnnotations(field.annotations, "field", { declared, attribute }, report);
    checkFieldAnnotations(declared, field, resolve, report);
  }
}

function readClaim(
  annotations: Annotations,
  fallback: string,
  at: { readonly declared: string; readonly attribute?: string },
  report: Report,
): readonly string[] {
  const value = annotations["claim"];
  const path = value === undefined ? [fallback] : claimPath(value);
  if (path !== undefined) return path;
  report(
    { ...at, annotation: "claim" },
    `${JSON.stringify(value)} names no claim`,
    'write the name of the claim, or a JSON Pointer such as "/act/sub"',
  );
  return [fallback];
}

interface JsonEntity {
  readonly annotations?: Annotations;
  readonly memberOfTypes?: readonly string[];
  readonly shape?: JsonType;
  readonly tags?: JsonType;
  readonly enum?: readonly string[];
}

function readEntity(
  name: string,
  json: JsonEntity,
  uses: Uses,
  resolve: Resolve,
  report: Report,
): EntityMapping {
  const annotations = json.annotations ?? {};
  const at = (annotation?: string) => ({ declared: name, annotation });
  checkAnnotations(annotations, "entity", at(), report);
  if (json.enum !== undefined) {
    for (const annotation of Object.keys(annotations).filter((each) => each !== "doc")) {
      report(at(annotation), `@${annotation} cannot stand on an enumerated type`);
    }
  }
  if (json.tags !== undefined) {
    report(
      at(),
      `${name} has tags, which no column carries`,
      "declare each of them as an optional attribute",
    );
  }
  const isHuman = uses.principals.has(name);
  if (isHuman && annotations["claim"] === undefined) {
    report(
      at(),
      `${name} is a principal, and nothing says which claim is its id`,
      'write @claim("sub") on it',
    );
  }
  if (!isHuman && annotations["claim"] !== undefined && !uses.aboveHumans.has(name)) {
    report(
      at("claim"),
      `${name} is neither a principal nor a group of one`,
      "only those are read from a token",
    );
  }
  for (const annotation of ["issuer"] as const) {
    if (annotations[annotation] === undefined) continue;
    if (!isHuman)
      report(at(annotation), `@${annotation} says whose tokens count, and ${name} is no principal`);
    else if (annotations[annotation] === "")
      report(at(annotation), "@issuer needs the issuer, exactly as it stands in iss");
  }
  const table =
    annotations["table"] === undefined
      ? undefined
      : (tableName(annotations["table"]) ??
        report(
          at("table"),
          `${JSON.stringify(annotations["table"])} names no table`,
          'write the schema, too: @table("public.orders")',
        ));
  if (uses.resources.has(name) && annotations["table"] === undefined) {
    report(
      at(),
      `actions apply to ${name}, and nothing says in which table it stands`,
      'write @table("public.name") on it, or @verb("none") on those actions',
    );
  }
  if (annotations["key"] !== undefined && annotations["table"] === undefined) {
    report(at("key"), "@key is a column of the table that @table names, and there is none");
  }
  const key =
    columnName(annotations["key"] ?? "id") ??
    report(at("key"), `${JSON.stringify(annotations["key"])} names no column`) ??
    "id";

  const attributes = new Map<string, Attribute>();
  const shape = json.shape === undefined ? undefined : resolve(json.shape);
  for (const [attribute, field] of Object.entries(shape?.attributes ?? {})) {
    attributes.set(
      attribute,
      readAttribute(
        { declared: name, attribute },
        field,
        {
          isHuman,
          isTable: annotations["table"] !== undefined,
          parents: json.memberOfTypes ?? [],
        },
        resolve,
        report,
      ),
    );
  }
  return {
    name,
    parents: json.memberOfTypes ?? [],
    attributes,
    human:
      isHuman && annotations["claim"] !== undefined
        ? {
            claim: readClaim(annotations, "sub", { declared: name }, report),
            issuer: annotations["issuer"],
          }
        : undefined,
    table: table === undefined ? undefined : { ...table, key },
    members: readMembers(name, annotations, isHuman, report),
    hierarchy: readRelation("hierarchy", "id, parent", name, annotations, report),
    values: json.enum,
  };
}

function readRelation(
  annotation: "membership" | "hierarchy",
  columns: string,
  declared: string,
  annotations: Annotations,
  report: Report,
): EntityMapping["hierarchy"] {
  const value = annotations[annotation];
  if (value === undefined) return undefined;
  return (
    relationName(value) ??
    report(
      { declared, annotation },
      `${JSON.stringify(value)} is no table with two columns`,
      `write @${annotation}("public.name(${columns})")`,
    )
  );
}

function readMembers(
  name: string,
  annotations: Annotations,
  isHuman: boolean,
  report: Report,
): EntityMapping["members"] {
  const relation = readRelation("membership", "member, group", name, annotations, report);
  const claim = isHuman ? undefined : annotations["claim"];
  if (claim === undefined) return relation === undefined ? undefined : { from: "table", relation };
  if (annotations["membership"] !== undefined) {
    report(
      { declared: name, annotation: "membership" },
      "the members stand in a table or in a claim, not in both",
    );
  }
  return { from: "claim", claim: readClaim(annotations, "groups", { declared: name }, report) };
}

function readAttribute(
  at: { readonly declared: string; readonly attribute: string },
  json: JsonAttribute,
  owner: {
    readonly isHuman: boolean;
    readonly isTable: boolean;
    readonly parents: readonly string[];
  },
  resolve: Resolve,
  report: Report,
): Attribute {
  const annotations = json.annotations ?? {};
  checkAnnotations(annotations, "attribute", at, report);
  checkFieldAnnotations(at.declared, json, resolve, report);
  const type = valueType(json, resolve);
  if (annotations["column"] !== undefined && !owner.isTable) {
    report(
      { ...at, annotation: "column" },
      `@column stands on an attribute of ${at.declared}, which has no table`,
      `write @table on ${at.declared}`,
    );
  }
  if (annotations["claim"] !== undefined && !owner.isHuman) {
    report(
      { ...at, annotation: "claim" },
      `@claim stands on an attribute of ${at.declared}, which is no principal`,
      owner.isTable ? "an attribute of a table is a column: @column" : undefined,
    );
  }
  if (owner.isTable) refuseColumnType(type, at, report);
  if (owner.isHuman) refuseClaimType(type, at, report);
  const isParent = annotations["parent"] !== undefined;
  if (isParent) {
    const where = { ...at, annotation: "parent" };
    if (!owner.isTable) report(where, `@parent is a column, and ${at.declared} has no table`);
    else if (type.kind !== "entity") {
      report(where, `@parent needs an entity, and ${at.attribute} is a ${typeText(type)}`);
    } else if (!owner.parents.includes(type.name)) {
      report(
        where,
        `a ${at.declared} cannot be in a ${type.name}`,
        `write entity ${lastName(at.declared)} in [${lastName(type.name)}]`,
      );
    }
    if (annotations["parent"] !== "") report(where, "@parent takes no value");
  }
  const column = annotations["column"] ?? at.attribute;
  return {
    name: at.attribute,
    type,
    isOptional: json.required === false,
    column: owner.isTable
      ? annotations["column"] === undefined
        ? column
        : (columnName(column) ??
          report(
            { ...at, annotation: "column" },
            `${JSON.stringify(column)} names no column`,
            'a name with capitals or other signs stands in double quotes: @column("\\"Name\\"")',
          ))
      : undefined,
    claim: owner.isHuman ? readClaim(annotations, at.attribute, at, report) : undefined,
    isParent,
  };
}

const SET_ELEMENTS: readonly ValueType["kind"][] = ["string", "long", "bool", "entity"];

function refuseColumnType(type: ValueType, at: Parameters<Report>[0], report: Report): void {
  if (type.kind === "record") {
    for (const field of type.fields.values()) refuseColumnType(field.type, at, report);
  } else if (type.kind === "duration") {
    report(
      at,
      `${at.attribute ?? ""} is a duration, which no column type holds exactly`,
      "declare it as Long, in milliseconds",
    );
  } else if (type.kind === "set" && !SET_ELEMENTS.includes(type.element.kind)) {
    report(
      at,
      `${at.attribute ?? ""} is a ${typeText(type)}, and no array holds that`,
      "elements can be String, Long, Bool or entities; other things need a table of their own",
    );
  }
}

/** What JSON has. */
function refuseClaimType(type: ValueType, at: Parameters<Report>[0], report: Report): void {
  if (type.kind === "record") {
    for (const field of type.fields.values()) refuseClaimType(field.type, at, report);
  } else if (type.kind === "set") {
    if (!SET_ELEMENTS.includes(type.element.kind)) {
      report(at, `${at.attribute ?? ""} is a ${typeText(type)}, which no claim carries`);
    }
  } else if (!SET_ELEMENTS.includes(type.kind)) {
    report(
      at,
      `${at.attribute ?? ""} is a ${typeText(type)}, and a token has no such values`,
      type.kind === "ip" || type.kind === "decimal"
        ? "declare it as String and compare it with strings"
        : "declare it as Long, in milliseconds",
    );
  }
}

/** Where Cedar knows of groups, the mapping must say where their members and parents stand. */
function checkGroups(
  entity: EntityMapping,
  entities: ReadonlyMap<string, EntityMapping>,
  uses: Uses,
  report: Report,
): void {
  const { name, parents, members, hierarchy } = entity;
  const isGroup = [...entities.values()].some((other) => other.parents.includes(name));
  const nests = parents.includes(name);
  for (const [annotation, value] of [
    ["membership", members],
    ["hierarchy", hierarchy],
  ] as const) {
    if (value !== undefined && !isGroup) {
      report({ declared: name, annotation }, `nothing can be in a ${name}`);
    }
  }
  const holdsHumans = [...uses.principals].some((human) =>
    entities.get(human)?.parents.includes(name),
  );
  if (holdsHumans && members === undefined) {
    report(
      { declared: name },
      `principals may be in a ${name}, and nothing says where its members stand`,
      'write @membership("public.name(member, group)"), or @claim("groups") if tokens list them',
    );
  }
  if (members !== undefined && isGroup && !holdsHumans) {
    report(
      { declared: name, annotation: members.from === "claim" ? "claim" : "membership" },
      `no principal may be in a ${name} directly`,
      `write in [${lastName(name)}] on the principal's type`,
    );
  }
  if (nests && hierarchy === undefined) {
    report(
      { declared: name },
      `a ${name} may be in another, and nothing says where that stands`,
      'write @hierarchy("public.name(id, parent)")',
    );
  }
  if (hierarchy !== undefined && !nests) {
    report(
      { declared: name, annotation: "hierarchy" },
      `a ${name} is never in another`,
      `write entity ${lastName(name)} in [${lastName(name)}]`,
    );
  }
  if (isGroup && parents.some((parent) => parent !== name)) {
    report(
      { declared: name },
      `a ${name} may be in a group of another type, and no mapping says where that stands`,
      "let groups be of one type, and let the members be in each of them directly",
    );
  }
}
