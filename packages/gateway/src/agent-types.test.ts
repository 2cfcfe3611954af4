import { expect, it } from "vitest";
import { agentTypes } from "./agent-types.ts";
import { plainValue } from "./tool-answer.ts";

const JSONB = 3802;
const read = (text: string) => JSON.stringify(plainValue(agentTypes(JSONB)?.(text)));

it.each([
  ['{"id":9007199254740993,"n":0.1}', '{"id":"9007199254740993","n":0.1}'],
  ['{"id":9007199254740991}', '{"id":9007199254740991}'],
  ["[0.10000000000000000001,1e400]", '["0.10000000000000000001","1e400"]'],
  ['{"text":"1e5 and 12345678901234567"}', '{"text":"1e5 and 12345678901234567"}'],
  ['{"a":[1,2.5,null,true]}', '{"a":[1,2.5,null,true]}'],
])("changes no number of %s", (text, answer) => {
  expect(read(text)).toBe(answer);
});
