import { expect, test } from "vitest";
import { cut, grouped, printer, show, sideBySide, table, tableOrList, wrap } from "./printing.ts";

test("what came from a database moves no terminal's cursor", () => {
  expect(show("\u{1b}[2Jgone\u{202e}\u{7}")).toBe("\u{fffd}[2Jgone\u{fffd}\u{fffd}");
  expect(cut("two\n  lines", 20)).toBe("two lines");
});

test("long values are cut, also where characters take two code units", () => {
  expect(cut("orders of Globex", 9)).toBe("orders o…");
  expect(cut("😀😀😀", 3)).toBe("😀😀😀");
  expect(wrap("ends the read-only transaction", 12)).toEqual([
    "ends the",
    "read-only",
    "transaction",
  ]);
});

test("tables line up and keep to the width they are given", () => {
  const columns = [{ title: "customer" }, { title: "orders", align: "right" }] as const;
  expect(table(columns, [["Rhine Garage", "2,487"]])).toEqual([
    "customer      orders",
    "Rhine Garage   2,487",
  ]);
  const narrow = table(columns, [["a".repeat(90), "b".repeat(90)]], 40);
  expect(narrow.every((line) => line.length <= 40)).toBe(true);
  const many = Array.from({ length: 60 }, () => ({ title: "c" }));
  expect(table(many, [], 40)[0]?.length).toBeLessThanOrEqual(40);
  expect(sideBySide([["a", "bb"], ["c"]], 2)).toEqual(["a   c", "bb"]);
});

test("rows that do not fit are shown one column a line, as psql does", () => {
  expect(tableOrList(["a", "b"], [["1", "2"]], 80)).toEqual(["a  b", "1  2"]);
  expect(tableOrList(["id", "name"], [["1", "x".repeat(40)]], 30)).toEqual([
    "- 1 --------------------------",
    "id   | 1",
    `name | ${"x".repeat(22)}…`,
  ]);
  expect(tableOrList(["plan"], [["x".repeat(40)]], 30)).toEqual(["plan", `${"x".repeat(29)}…`]);
});

test("values are readable whatever JSON made of them", () => {
  expect(show(null)).toBe("null");
  expect(show(42)).toBe("42");
  expect(show(true)).toBe("true");
  expect(show({ days: 1 })).toBe('{"days":1}');
});

test("numbers are grouped, also those that PostgreSQL sends as text", () => {
  expect(grouped(40000)).toBe("40,000");
  expect(grouped("1944847.16")).toBe("1,944,847.16");
  expect(grouped("999")).toBe("999");
});

test("colours go to terminals only, and not against NO_COLOR", () => {
  const terminal = { write: () => true, isTTY: true, columns: 200 };
  expect(printer(terminal, {}).bold("x")).not.toBe("x");
  expect(printer(terminal, { NO_COLOR: "1" }).bold("x")).toBe("x");
  expect(printer({ write: () => true }, {}).bold("x")).toBe("x");
  expect(printer(terminal, { TERM: "dumb" }).bold("x")).toBe("x");
  expect(printer(terminal, {}).width).toBe(100);
  expect(printer({ ...terminal, columns: 60 }, {}).width).toBe(80);
});
