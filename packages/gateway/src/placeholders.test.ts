import { describe, expect, it } from "vitest";

import { placeholders, statementOffset } from "./placeholders.ts";

it("numbers names, one number for a name that is used twice", () => {
  expect(placeholders("select :b, :a where x = :b and y < :_c1")).toMatchObject({
    text: "select $1, $2 where x = $1 and y < $3",
    names: ["b", "a", "_c1"],
    problems: [],
  });
});

describe("takes no placeholder from", () => {
  it.each([
    ["a cast", "select x::text, '1'::int"],
    ["a named argument", "select f(a := 1)"],
    ["a slice", "select x[1:2]"],
    ["a string", "select ':a', 'it''s :a', '\\', ':a'"],
    ["an escape string", "select E'\\':a', e'\\\\', E':a'''"],
    ["a unicode string", "select U&'\\0061 :a'"],
    ["a quoted identifier", 'select ":a", "x"":a"'],
    ["a dollar quote", "select $$ :a $$, $q$ :a $$ :a $q$"],
    ["a dollar quote of another alphabet", "select $é$ :a $é$"],
    ["a comment", "select 1 -- :a\n, 2 /* :a /* :a */ :a */"],
    ["a comment at the end", "select 1 -- :a"],
    ["a string that goes on in the next line", "select E'a'\n'b\\' :a'"],
    ["a string that goes on behind a comment", "select e'a' -- it's\r\n -- x\n '\\' :a'"],
    ["an operator", "select a ->> 'b' #> '{:c}'"],
  ])("%s", (_name, text) => {
    expect(placeholders(text)).toEqual({ text, names: [], uses: [], problems: [] });
  });
});

describe("finds the placeholder that stands right behind", () => {
  it.each([
    ["a cast", "select x::text=:a", "select x::text=$1"],
    ["a string", "select ':x':a", "select ':x'$1"],
    ["an identifier that ends with e", "select note':x'||:a", "select note':x'||$1"],
    ["a string with a backslash", "select '\\'||:a", "select '\\'||$1"],
    ["a dollar in a name", "select x$y$, :a, z$y$", "select x$y$, $1, z$y$"],
    ["a comment", "select/* x */:a--:b\n", "select/* x */$1--:b\n"],
    ["a minus", "select -:a - :a", "select -$1 - $1"],
    ["a division", "select 1/:a*2", "select 1/$1*2"],
    ["a bracket", "select x[:a]", "select x[$1]"],
    ["a comment that a carriage return ends", "select 1 -- :b\r+ :a", "select 1 -- :b\r+ $1"],
    ["a string that does not go on", "select E'a' '\\', :a", "select E'a' '\\', $1"],
    ["a word", "select x limit:a", "select x limit $1"],
    ["a number", "select 1:a", "select 1 $1"],
    ["a dollar quote", "select $$x$$:a", "select $$x$$ $1"],
    ["another", "select :a:a", "select $1 $1"],
    ["a word, and before one", "select(:aéa)", "select($1 éa)"],
    ["a dollar, before one", "select :a$$x$$", "select $1 $$x$$"],
    ["a cast of its own", "select :a::int", "select $1::int"],
  ])("%s", (_name, text, numbered) => {
    expect(placeholders(text)).toMatchObject({ text: numbered, names: ["a"], problems: [] });
  });
});

it.each([
  ["select $1", "$1 has no name", 7],
  ["select 'x", "' is never closed", 7],
  ['select "x', '" is never closed', 7],
  ["select E'\\'", "' is never closed", 7],
  ["select E'a'\n'b\\' :a", "' is never closed", 7],
  ["select E'a''\\' :a", "' is never closed", 7],
  ["select 'a''b :a", "' is never closed", 7],
  ["select $q$ :a $$", "$q$ is never closed", 7],
  ["select /* /* */ :a", "/* is never closed", 7],
])("says what is wrong with %s", (text, message, offset) => {
  const { problems } = placeholders(text);
  expect(problems).toEqual([{ message: expect.stringContaining(message), offset }]);
});

it("knows where each stands, and where what the server finds stands", () => {
  const statement = "select '::foo', x::foo from t limit:foo or :foo oops";
  const { text, uses } = placeholders(statement);
  expect(text).toBe("select '::foo', x::foo from t limit $1 or $1 oops");
  expect(uses.map(({ start, end }) => statement.slice(start, end))).toEqual([":foo", ":foo"]);
  expect(uses.map(({ start }) => start)).toEqual([35, 43]);
  for (const word of ["select", "limit", "or", "oops"]) {
    expect(statementOffset(uses, text.indexOf(word))).toBe(statement.indexOf(word));
  }
  expect(statementOffset(uses, text.lastIndexOf("$1"))).toBe(43);
});
