import fc from "fast-check";

/** A schema with every type that a column and a claim can have, nearly all of it optional. */
export const RANDOM_SCHEMA = `
@claim("sub")
entity User in [Team] {
  @claim("org_id") org?: String,
  @claim("/level/now") level?: Long,
  admin?: Bool,
  topics?: Set<String>,
  scores?: Set<Long>,
  home?: Team,
  friend?: User,
  groups?: Set<Team>,
  office?: { city: String, floor?: Long, inner?: { flag?: Bool } },
};
@membership("public.members(member, team)")
@hierarchy("public.teams(id, parent)")
entity Team in [Team];
entity Color enum ["red", "green", "blue"];
@table("public.docs")
entity Doc in [Team] {
  owner?: User,
  @parent team?: Team,
  @parent other?: Team,
  teams?: Set<Team>,
  org?: String,
  title?: String,
  size?: Long,
  count?: Long,
  open?: Bool,
  price?: decimal,
  at?: datetime,
  ip?: ipaddr,
  labels?: Set<String>,
  sizes?: Set<Long>,
  flags?: Set<Bool>,
  color?: Color,
  place?: { city: String, floor?: Long, inner?: { flag?: Bool } },
};
@table("public.notes")
entity Note { org?: String };
type Call = {
  @claim("/act/sub") actor?: String,
  mfa?: Bool,
  @claim("mission") task?: { id: String, folder?: String, n?: Long },
};
action rw;
action read, update in [rw] appliesTo { principal: User, resource: [Doc, Note], context: Call };
action delete appliesTo { principal: User, resource: [Doc, Note], context: Call };
`;

export const STRINGS = [
  "",
  "a",
  "A",
  "a ",
  "red",
  "green",
  "a*b",
  "100%",
  "_",
  "\\",
  'q"',
  "ä😀",
  "x-a",
];
export const LONGS = [0, 1, -1, 2, 7, 9_007_199_254_740_991, -9_007_199_254_740_991];
export const TEAMS = ["t0", "t1", "t2", "t3"];
export const USERS = ["alice", "bob"];
export const IPS = [
  "10.0.0.1",
  "10.0.0.0/8",
  "10.1.2.3/16",
  "127.0.0.1",
  "127.0.0.0/4",
  "224.0.0.9",
  "::1",
  "ff02::1",
  "fe80::/10",
  "::/0",
];
export const DATETIMES = [
  "2024-02-29",
  "1969-12-31T23:59:59.999Z",
  "2024-02-29T00:00:00.001Z",
  "2024-02-28T23:00:00-0100",
  "0001-01-01",
];
export const DECIMALS = [
  "0.0",
  "1.5",
  "1.50",
  "-0.0001",
  "922337203685477.5807",
  "-922337203685477.5808",
];

export const quoted = (text: string) => JSON.stringify(text);
const oneOf = (...texts: readonly string[]) => fc.constantFrom(...texts);

interface Expressions {
  readonly bool: string;
  readonly text: string;
  readonly long: string;
  readonly user: string;
  readonly team: string;
  readonly color: string;
  readonly decimal: string;
  readonly datetime: string;
  readonly ip: string;
  readonly texts: string;
  readonly longs: string;
  readonly bools: string;
  readonly teams: string;
}

const call = (name: string, ...parts: readonly fc.Arbitrary<string>[]) =>
  fc.tuple(...parts).map(([self = "", ...rest]) => `${self}.${name}(${rest.join(", ")})`);
const infix = (left: fc.Arbitrary<string>, operator: string, right: fc.Arbitrary<string>) =>
  fc.tuple(left, right).map(([a, b]) => `(${a} ${operator} ${b})`);

const PATTERNS = ["*", "a*", "*a", "a*b", "a\\*b", "100%", "%*", "_", "*\\\\*", "", "**ä*"];

/** What `has` can be asked of. */
const HAS = [
  ..."owner team other teams org title size open price at ip labels flags color place.city place.floor place.inner.flag"
    .split(" ")
    .map((name) => `resource has ${name}`),
  ..."org level admin topics home friend office.city office.inner office.inner.flag"
    .split(" ")
    .map((name) => `principal has ${name}`),
  ..."actor mfa task task.id task.folder task.n".split(" ").map((name) => `context has ${name}`),
  "resource.place has floor",
  "resource.place has inner.flag",
  "context.task has folder",
  "principal.office.inner has flag",
];

/** Every attribute is often behind its `has`, as the strict validator wants it, and often not. */
const expressions = (maxDepth: number) =>
  fc.letrec<Expressions>((tie) => {
    const of = (kind: keyof Expressions) => tie(kind) as fc.Arbitrary<string>;
    const boolean = { maxDepth, depthSize: "small" } as const;
    const branch = (kind: keyof Expressions) =>
      fc
        .tuple(of("bool"), of(kind), of(kind))
        .map(([test, then, otherwise]) => `(if ${test} then ${then} else ${otherwise})`);
    const value = (kind: keyof Expressions, ...leaves: readonly string[]) =>
      fc.oneof(boolean, { arbitrary: oneOf(...leaves), weight: 8 }, branch(kind));
    const setOf = (kind: keyof Expressions) =>
      fc.array(of(kind), { minLength: 1, maxLength: 3 }).map((each) => `[${each.join(", ")}]`);
    const equality = (kind: keyof Expressions) =>
      fc.oneof(infix(of(kind), "==", of(kind)), infix(of(kind), "!=", of(kind)));
    const setQuestions = (set: keyof Expressions, element: keyof Expressions) =>
      fc.oneof(
        call("contains", of(set), of(element)),
        call("containsAll", of(set), of(set)),
        call("containsAny", of(set), of(set)),
        call("isEmpty", of(set)),
        equality(set),
      );
    return {
      bool: fc.oneof(
        boolean,
        { arbitrary: oneOf(...HAS).map((each) => `(${each})`), weight: 3 },
        oneOf(
          "true",
          "false",
          "resource.open",
          "principal.admin",
          "context.mfa",
          "resource.place.inner.flag",
        ),
        { arbitrary: infix(of("bool"), "&&", of("bool")), weight: 5 },
        { arbitrary: infix(of("bool"), "||", of("bool")), weight: 5 },
        { arbitrary: of("bool").map((each) => `!(${each})`), weight: 3 },
        branch("bool"),
        equality("bool"),
        equality("text"),
        equality("long"),
        equality("user"),
        equality("team"),
        equality("color"),
        equality("decimal"),
        equality("datetime"),
        equality("ip"),
        fc
          .constantFrom("<", "<=", ">", ">=")
          .chain((operator) => infix(of("long"), operator, of("long"))),
        fc
          .constantFrom("<", "<=", ">", ">=")
          .chain((operator) => infix(of("datetime"), operator, of("datetime"))),
        fc
          .constantFrom("lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual")
          .chain((name) => call(name, of("decimal"), of("decimal"))),
        call("isInRange", of("ip"), of("ip")),
        fc
          .constantFrom("isIpv4", "isIpv6", "isLoopback", "isMulticast")
          .chain((name) => call(name, of("ip"))),
        fc
          .tuple(of("text"), fc.constantFrom(...PATTERNS))
          .map(([text, pattern]) => `${text} like "${pattern}"`)
          .map((each) => `(${each})`),
        setQuestions("texts", "text"),
        setQuestions("longs", "long"),
        setQuestions("bools", "bool"),
        setQuestions("teams", "team"),
        infix(fc.constant("principal"), "in", fc.oneof(of("team"), of("teams"))),
        infix(fc.constant("resource"), "in", fc.oneof(of("team"), of("teams"))),
        infix(of("team"), "in", fc.oneof(of("team"), of("teams"))),
        infix(of("user"), "==", fc.constant("resource.team")),
        infix(of("user"), "in", of("user")),
        oneOf(
          "resource is Doc",
          "principal is User",
          "principal is Team",
          "resource.owner is User",
          "resource.owner is Team",
          'resource is Doc in Team::"t1"',
          'principal is User in Team::"t2"',
          'resource.team is Team in Team::"t0"',
          'action == Action::"read"',
          'action in [Action::"rw", Action::"delete"]',
        ).map((each) => `(${each})`),
      ),
      text: value(
        "text",
        ...STRINGS.map(quoted),
        "resource.org",
        "resource.title",
        "resource.place.city",
        "principal.org",
        "principal.office.city",
        "context.actor",
        "context.task.folder",
        '{ a: "a", b: 1 }.a',
      ),
      long: fc.oneof(
        boolean,
        {
          arbitrary: oneOf(
            ...LONGS.map((each) => `(${each})`),
            "resource.size",
            "resource.count",
            "resource.place.floor",
            "principal.level",
            "context.task.n",
            'duration("1d2h").toHours()',
            'datetime("2024-02-29T01:00:00Z").toTime().toMinutes()',
          ),
          weight: 8,
        },
        fc.constantFrom("+", "-", "*").chain((operator) => infix(of("long"), operator, of("long"))),
        of("long").map((each) => `(-(${each}))`),
        branch("long"),
      ),
      user: value("user", "principal", "resource.owner", "principal.friend", 'User::"alice"'),
      team: value(
        "team",
        ...TEAMS.map((id) => `Team::"${id}"`),
        "resource.team",
        "resource.other",
        "principal.home",
      ),
      color: value("color", 'Color::"red"', 'Color::"green"', "resource.color"),
      decimal: value("decimal", ...DECIMALS.map((text) => `decimal("${text}")`), "resource.price"),
      datetime: value(
        "datetime",
        ...DATETIMES.map((text) => `datetime("${text}")`),
        "resource.at",
        'datetime("2024-03-01").offset(duration("-1d"))',
        'datetime("1969-12-31T12:00:00Z").toDate()',
      ),
      ip: value("ip", ...IPS.map((text) => `ip("${text}")`), "resource.ip"),
      texts: fc.oneof(boolean, oneOf("resource.labels", "principal.topics"), setOf("text")),
      longs: fc.oneof(boolean, oneOf("resource.sizes", "principal.scores"), setOf("long")),
      bools: fc.oneof(boolean, oneOf("resource.flags"), setOf("bool")),
      teams: fc.oneof(boolean, oneOf("resource.teams", "principal.groups"), setOf("team")),
    };
  });

/** A condition behind the `has` of every optional attribute that it reads: what the validator accepts. */
export function guarded(condition: string): string {
  const reads = new Set(condition.match(/\b(?:resource|principal|context)(?:\.[a-z]+)+\b(?!\()/g));
  return [...[...reads].map((read) => read.replace(".", " has ")), condition].join(" && ");
}

/** One operator on columns, claims and constants: deep conditions hide what a single operator gets wrong. */
const shallow = expressions(1).bool;
const deep = expressions(4).bool;

const scopes = {
  principal: oneOf(
    "principal",
    "principal",
    "principal",
    'principal == User::"alice"',
    'principal in Team::"t1"',
    'principal is User in Team::"t0"',
  ),
  action: oneOf(
    "action",
    "action",
    'action == Action::"read"',
    'action in Action::"rw"',
    'action in [Action::"update", Action::"delete"]',
  ),
  resource: oneOf(
    "resource is Doc",
    "resource is Doc",
    'resource in Team::"t2"',
    'resource is Doc in Team::"t3"',
    'resource == Doc::"d1"',
  ),
};

/** A policy that may fail at run time: most of its attributes are optional and not all are asked for. */
export const randomPolicy: fc.Arbitrary<string> = fc
  .record({
    ...scopes,
    effect: fc.constantFrom("permit", "forbid"),
    clauses: fc.array(
      fc.record({
        kind: fc.constantFrom("when", "when", "unless"),
        condition: fc.oneof(shallow, deep),
        isGuarded: fc.boolean(),
      }),
      { minLength: 1, maxLength: 2 },
    ),
    otherTypes: fc.constantFrom("", "", "resource is Doc && ", "resource is Note || "),
  })
  .map(({ principal, action, resource, effect, clauses, otherTypes }) => {
    // A scope for every table, and a condition that keeps to one: the other side has no meaning there.
    const scope = otherTypes === "" ? resource : "resource";
    const texts = clauses.map(({ kind, condition, isGuarded }) => {
      const text = isGuarded ? guarded(condition) : condition;
      return `${kind} { ${otherTypes}(${text}) }`;
    });
    return `@id("p") ${effect} (${principal}, ${action}, ${scope}) ${texts.join(" ")};`;
  });
