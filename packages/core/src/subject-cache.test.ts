import fc from "fast-check";
import { expect, it } from "vitest";
import type { SubjectRef } from "./identity.ts";
import { subjectCache } from "./subject-cache.ts";

it("finds all entries of one human and none of another, and its index stays bounded", () => {
  // Names that would be one text if they were simply joined.
  const names = fc.constantFrom("a", "b", "a b", '","', "");
  const human: fc.Arbitrary<SubjectRef> = fc.record({ issuer: names, subject: names });
  const key = fc.integer({ min: 0, max: 9 }).map(String);
  const step = fc.oneof(
    fc.record({ does: fc.constant("set" as const), human, key }),
    fc.record({ does: fc.constant("delete" as const), human, key }),
    fc.record({ does: fc.constant("deleteAll" as const), human, key }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cache = subjectCache<{ of: string }>(5);
      for (const { does, human: who, key: at } of steps) {
        const of = JSON.stringify(who);
        if (does === "set") cache.set(at, who, { of });
        if (does === "delete") cache.delete(at);
        if (does === "deleteAll") cache.deleteAll(who);
        const held = Array.from({ length: 10 }, (_, n) => cache.get(String(n))?.of);
        const there = held.filter((one) => one !== undefined);
        expect(there.length).toBeLessThanOrEqual(5);
        expect(cache.subjects).toBe(new Set(there).size);
        expect(does === "deleteAll" && there.includes(of)).toBe(false);
      }
      cache.clear();
      expect(cache.subjects).toBe(0);
    }),
  );
});
