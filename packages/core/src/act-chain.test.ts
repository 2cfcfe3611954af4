import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { actorsOf } from "./act-chain.ts";
import { BehalfError } from "./errors.ts";

const link = fc.record(
  {
    sub: fc.constantFrom("gateway", "agent", "worker"),
    iss: fc.constantFrom("https://a.test", "https://b.test"),
    sub_profile: fc.constant("ai_agent"),
  },
  { requiredKeys: ["sub"] },
);

const nest = (links: readonly object[]) =>
  links.reduceRight<object | undefined>((act, one) => (act ? { ...one, act } : one), undefined);

describe("an act chain", () => {
  it("keeps its order, and its neighbours differ", () => {
    fc.assert(
      fc.property(fc.array(link, { maxLength: 8 }), (links) => {
        const actors = actorsOf(nest(links), 8);
        const names = links.map(({ sub, iss }) => `${sub} ${iss}`);
        const expected = names.filter((name, at) => name !== names[at - 1]);
        expect(actors.map(({ subject, issuer }) => `${subject} ${issuer}`)).toEqual(expected);
      }),
    );
  });

  it("never gives an actor for what is malformed anywhere", () => {
    const broken = fc.oneof(
      fc.constantFrom(null, 0, "", "agent", true, [], {}, { sub: "" }, { sub: 1 }, { act: {} }),
      fc.constantFrom({ sub: "a", iss: "" }, { sub: "a", iss: 1 }, { sub: "a", sub_profile: {} }),
      fc.constant({ sub: "a\u0000" }),
    );
    fc.assert(
      fc.property(fc.array(link, { maxLength: 6 }), broken, (links, last) => {
        const act = links.reduceRight<unknown>((inner, one) => ({ ...one, act: inner }), last);
        expect(() => actorsOf(act, 8)).toThrow(expect.objectContaining({ reason: "act" }));
      }),
    );
  });

  it("of anything whatever gives actors or is refused", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (act) => {
        let told: string;
        try {
          told = actorsOf(act, 8).some(({ subject }) => subject === "") ? "an empty actor" : "act";
        } catch (error) {
          told = BehalfError.isInstance(error) ? String(error.reason) : "another error";
        }
        expect(told).toBe("act");
      }),
    );
  });

  it("is cut by no one: one link too many is refused", () => {
    const links = Array.from({ length: 9 }, (_, n) => ({ sub: `a${n}` }));
    expect(actorsOf(nest(links.slice(1)), 8)).toHaveLength(8);
    expect(() => actorsOf(nest(links), 8)).toThrow(/more than 8/);
  });
});
