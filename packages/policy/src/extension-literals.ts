import type { Literal } from "./intermediate.ts";

/** What Cedar's constructors of datetime, duration, decimal and ipaddr make of a text that it has accepted. */
export function extensionLiteral(constructor: string, text: string): Literal | undefined {
  switch (constructor) {
    case "datetime":
      return { kind: "literal", type: { kind: "datetime" }, value: datetime(text) };
    case "duration":
      return { kind: "literal", type: { kind: "duration" }, value: duration(text) };
    case "decimal":
      return { kind: "literal", type: { kind: "decimal" }, value: decimal(text) };
    case "ip":
      return { kind: "literal", type: { kind: "ip" }, value: text };
    default:
      return undefined;
  }
}

const DAY_MS = 86_400_000;
const UNITS_MS: Readonly<Record<string, number>> = {
  d: DAY_MS,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

function datetime(text: string): number {
  const [, year, month, day, hour, minute, second, milli, sign, offsetHours, offsetMinutes] =
    /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?(?:Z|([+-])(\d\d)(\d\d)))?$/.exec(
      text,
    ) ?? [];
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0), Number(milli ?? 0));
  const offset = (Number(offsetHours ?? 0) * 60 + Number(offsetMinutes ?? 0)) * 60_000;
  return exact(date.getTime() - (sign === "-" ? -offset : offset), text);
}

function duration(text: string): number {
  let total = 0n;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|[dhms])/g)) {
    total += BigInt(count ?? 0) * BigInt(UNITS_MS[unit ?? ""] ?? 0);
  }
  return exact(Number(text.startsWith("-") ? -total : total), text);
}

function decimal(text: string): string {
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)\.(\d+)$/.exec(text) ?? [];
  if (whole === undefined) throw new RangeError(`Cedar took ${text} for a decimal`);
  const digits = `${whole.replace(/^0+(?=\d)/, "")}.${fraction.padEnd(4, "0")}`;
  return sign === "-" && /[1-9]/.test(digits) ? `-${digits}` : digits;
}

function exact(milliseconds: number, text: string): number {
  if (Number.isSafeInteger(milliseconds)) return milliseconds;
  throw new RangeError(`${text} is beyond what milliseconds can count exactly`);
}

type Time = Extract<Literal, { readonly type: { readonly kind: "datetime" | "duration" } }>;

const isTime = (value: Literal | undefined): value is Time =>
  value?.type.kind === "datetime" || value?.type.kind === "duration";

/** A method of datetime or duration on constants; `undefined` where it is none, or not exact in a number. */
export function timeMethod(
  method: string,
  self: Literal,
  argument: Literal | undefined,
): Literal | undefined {
  if (!isTime(self)) return undefined;
  const datetimeOf = (value: number) =>
    Number.isSafeInteger(value)
      ? ({ kind: "literal", type: { kind: "datetime" }, value } as const)
      : undefined;
  const durationOf = (value: number) =>
    Number.isSafeInteger(value)
      ? ({ kind: "literal", type: { kind: "duration" }, value } as const)
      : undefined;
  // A division by a unit cuts towards zero, and is never -0.
  const long = (unit: string) =>
    ({
      kind: "literal",
      type: { kind: "long" },
      value: Math.trunc(self.value / (UNITS_MS[unit] ?? 1)) + 0,
    }) as const;
  const startOfDay = Math.floor(self.value / DAY_MS) * DAY_MS;
  switch (method) {
    case "offset":
      return isTime(argument) ? datetimeOf(self.value + argument.value) : undefined;
    case "durationSince":
      return isTime(argument) ? durationOf(self.value - argument.value) : undefined;
    case "toDate":
      return datetimeOf(startOfDay);
    case "toTime":
      return durationOf(self.value - startOfDay);
    case "toMilliseconds":
      return long("ms");
    case "toSeconds":
      return long("s");
    case "toMinutes":
      return long("m");
    case "toHours":
      return long("h");
    case "toDays":
      return long("d");
    default:
      return undefined;
  }
}
