import { describe, expect, it } from "vitest";
import { MAX_ACTORS, nestActors, readActors } from "./openid-actors.ts";

describe("chain of actors", () => {
  it("puts the current actor outside and keeps the earlier ones inside", () => {
    const before = readActors({ sub: "agent", sub_profile: "ai_agent", act: { sub: "bot" } });
    expect(nestActors({ sub: "gateway" }, before)).toEqual({
      sub: "gateway",
      act: { sub: "agent", sub_profile: "ai_agent", act: { sub: "bot" } },
    });
  });

  it("collapses equal neighbours, and only neighbours", () => {
    const before = readActors({ sub: "gateway", act: { sub: "agent", act: { sub: "agent" } } });
    expect(nestActors({ sub: "gateway" }, before)).toEqual({
      sub: "gateway",
      act: { sub: "agent" },
    });
    expect(nestActors({ sub: "a" }, readActors({ sub: "b", act: { sub: "a" } }))).toEqual({
      sub: "a",
      act: { sub: "b", act: { sub: "a" } },
    });
    expect(nestActors({ sub: "a" }, readActors({ sub: "a", iss: "https://other" }))).toEqual({
      sub: "a",
      act: { sub: "a", iss: "https://other" },
    });
  });

  it("keeps a chain when nobody new acts, and is absent when nobody ever did", () => {
    expect(nestActors(undefined, readActors({ sub: "agent" }))).toEqual({ sub: "agent" });
    expect(nestActors(undefined, [])).toBeUndefined();
  });

  it("is limited in depth", () => {
    const chain = Array.from({ length: MAX_ACTORS }, (_, at) => ({ sub: `actor ${at}` }));
    expect(nestActors(undefined, chain)).toBeDefined();
    expect(() => nestActors({ sub: "one more" }, chain)).toThrow(RangeError);
  });

  it.each([null, "agent", [], {}, { sub: 1 }, { sub: "" }, { sub: "a", act: null }])(
    "refuses %j",
    (claim) => {
      expect(() => readActors(claim)).toThrow(TypeError);
    },
  );
});
