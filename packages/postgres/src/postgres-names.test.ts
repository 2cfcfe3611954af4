import { expect, it } from "vitest";

import { mayNameSettings } from "./postgres-names.ts";

it.each([
  "select set_config('a.b', 'c', true)",
  'select pg_catalog."set_config"($$a.b$$, $$c$$, true)',
  "SELECT SET_CONFIG /* , */ ('a.b', 'c', true)",
  `select U&"set\\005Fconfig"('a.b', 'c', true)`,
  `select u&"set!005fconfig" uescape '!' ('a.b', 'c', true)`,
  "select query_to_xml('select set' || '_config(...)', true, true, '')",
  "select query_to_xml_and_xmlschema(x, true, true, '') from t",
  "select * from ts_stat('select ...')",
  "select ts_rewrite('a'::tsquery, 'select ...')",
])("sees that a text may name a setting: %s", (text) => {
  expect(mayNameSettings(text)).toBe(true);
});

it.each([
  "select * from orders",
  "select current_setting('a.b', true)",
  "update config set value = 1",
])("lets a text keep its connection: %s", (text) => {
  expect(mayNameSettings(text)).toBe(false);
});
