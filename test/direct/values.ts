/** A type of a column, with values that are apt to come out differently. */
export interface ColumnType {
  readonly sql: string;
  /** In the server's text form. No two are equal and look different: which one DISTINCT keeps is the planner's choice. */
  readonly values: readonly string[];
  /** Whether values can be compared, sorted and grouped. */
  readonly isOrdered: boolean;
}

const ordered = (sql: string, values: readonly string[]): ColumnType => ({
  sql,
  values,
  isOrdered: true,
});
const unordered = (sql: string, values: readonly string[]): ColumnType => ({
  sql,
  values,
  isOrdered: false,
});

export const TEXTS: readonly string[] = [
  "",
  " ",
  "plain",
  "it's",
  '"quoted" ""twice""',
  "back\\slash \\\\ \\n",
  "comma, (paren), {brace}",
  "NULL",
  "null",
  "()",
  "(,)",
  "line\nbreak\r\n\ttab",
  "\u{1}\u{7f}",
  "Grüße, 日本語, 🙂, e\u0301",
  "\u202Ertl\u200B",
  "%_\\%",
  "$1 :x ?",
  "--comment /* */ ;",
  "x".repeat(3_000),
];

export const INT = ordered("int", ["0", "1", "-1", "2", "3", "42", "2147483647", "-2147483648"]);
export const TEXT = ordered("text", TEXTS);

/** Types that every schema has; each also makes an enum, a domain and a composite type of its own. */
export const TYPES: readonly ColumnType[] = [
  INT,
  TEXT,
  ordered("bigint", ["0", "-7", "9223372036854775807", "-9223372036854775808"]),
  ordered("smallint", ["0", "-32768", "32767"]),
  ordered("numeric", [
    "0",
    "0.1",
    "-1.5",
    "123456789012345678901234567890.123456789",
    "NaN",
    "Infinity",
    "1e-20",
  ]),
  ordered("numeric(12, 2)", ["0", "0.1", "-1234567890.12", "9999999999.99"]),
  ordered("float8", [
    "0",
    "0.1",
    "-1.5",
    "1e-300",
    "1.7976931348623157e308",
    "NaN",
    "Infinity",
    "-Infinity",
    "0.30000000000000004",
    "123456789.12345679",
  ]),
  ordered("float4", ["0", "0.1", "3.4028235e38", "NaN", "16777217"]),
  ordered("boolean", ["true", "false"]),
  ordered("date", [
    "2026-02-28",
    "1999-12-31",
    "0044-03-15 BC",
    "infinity",
    "-infinity",
    "12026-01-01",
  ]),
  ordered("timestamptz", [
    "2026-03-29 01:30:00+01",
    "1969-12-31 23:59:59.999999Z",
    "infinity",
    "0001-01-01 00:00:00Z BC",
    "2026-10-25 02:30:00 Europe/Berlin",
  ]),
  ordered("timestamp", [
    "2026-03-29 02:30:00",
    "1970-01-01 00:00:00",
    "-infinity",
    "2026-01-02 03:04:05.678901",
  ]),
  ordered("time", ["00:00:00", "23:59:59.999999", "24:00:00"]),
  ordered("timetz", ["00:00:00+00", "12:34:56.789-08"]),
  ordered("interval", ["0", "1 mon", "-3 days 02:03:04.000005", "1000 years", "5 hours"]),
  ordered("uuid", ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
  ordered("jsonb", [
    "null",
    "{}",
    "[]",
    '{"a": {"b": [1, 2.5, null]}, "c\\"d": "e\\\\f"}',
    '"text"',
    "12345678901234567890",
    '[{"x": "ü"}, true]',
  ]),
  unordered("json", ["null", '{ "a" : 1, "a" : 2 }', "[1,  2]"]),
  ordered("bytea", ["\\x", "\\x00ff5c", "\\xdeadbeef"]),
  ordered("int[]", ["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={5,6}"]),
  ordered("text[]", ["{}", '{"","NULL",NULL,"a,b","{x}","q\\"q","b\\\\s"}', '{{"a b"},{"c"}}']),
  ordered("timestamptz[]", ['{"2026-01-01 00:00:00+02",infinity}']),
  ordered("inet", ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"]),
  ordered("cidr", ["10.0.0.0/8", "2001:db8::/32"]),
  ordered("macaddr", ["08:00:2b:01:02:03"]),
  ordered("int4range", ["empty", "[1,5)", "(,)", "[3,)"]),
  ordered("tstzrange", ['["2026-01-01 00:00:00+01",)', "empty"]),
  ordered("nummultirange", ["{}", "{[1.5,2],(3,)}"]),
  ordered("bit(3)", ["101", "000"]),
  ordered("varbit", ["", "1", "0110"]),
  ordered("money", ["12.34", "-0.01", "1234567.89"]),
  ordered("varchar(10)", ["", "ten chars!", "é"]),
  ordered("char(5)", ["a", "abcde"]),
  ordered('"char"', ["x", ""]),
  ordered("name", ["a_name"]),
  ordered("oid", ["0", "4294967295"]),
  ordered("tsvector", ["", "'a':1 'fat':2A"]),
  ordered("pg_lsn", ["16/B374D848", "0/0"]),
  unordered("point", ["(1,2.5)", "(-0.1,1e10)"]),
  unordered("box", ["(3,4),(1,2)"]),
  unordered("polygon", ["((0,0),(1,1),(2,0))"]),
];

/** A constant, whatever is in it and whatever standard_conforming_strings says. */
export function literal(text: string): string {
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
