import { Secret } from "@behalf/core";
import { trace } from "@opentelemetry/api";

import { captured } from "../captured-output.ts";
import { errorOf } from "../case-tools.ts";
import type { CaseContext, ConformanceCase } from "../conformance-case.ts";
import { everythingIn, secretsIn } from "../secret-scan.ts";

/** Where a secret could be seen. */
interface Sightings {
  readonly returned: string;
  readonly thrown: string;
  readonly recorded: string;
  readonly inspected: string;
  readonly logged: string;
  readonly traced: string;
  readonly secrets: readonly string[];
}

const CHANNELS = [
  ["returned", "what calls, whoAmI and plan return"],
  ["thrown", "what is thrown, with its causes and stacks"],
  ["recorded", "what is recorded"],
  ["inspected", "the adapter, when it is inspected or made JSON"],
  ["logged", "what is logged, written to standard output, or warned of"],
  ["traced", "what spans hold"],
] as const;

export const secretCases: readonly ConformanceCase[] = CHANNELS.map(
  ([channel, title]): ConformanceCase => ({
    id: `secrets.${channel}`,
    group: "secrets",
    title: `${title}: no token, no key, no password`,
    capability: null,
    async run(context) {
      const { same } = context;
      const seen = await sightingsOf(context);
      same("there are secrets to look for", seen.secrets.length > 1, true);
      // The control: what was planted in each place is found there.
      same("the planted word is found", secretsIn(seen[channel], [PLANTED]), [PLANTED]);
      const found = secretsIn(seen[channel], seen.secrets).map(
        (secret) =>
          `a secret of ${secret.length} characters that begins with ${secret.slice(0, 4)}`,
      );
      same("secrets that can be seen", found, []);
    },
  }),
);

const PLANTED = "planted-where-secrets-are-looked-for";

/** One run of the suite looks once for each way, and each case at its own place. */
const seenBefore = new WeakMap<CaseContext["ways"], Map<string, Promise<Sightings>>>();

function sightingsOf(context: CaseContext): Promise<Sightings> {
  const { ways, way } = context;
  const ofRun = seenBefore.get(ways) ?? new Map<string, Promise<Sightings>>();
  seenBefore.set(ways, ofRun);
  const sightings = ofRun.get(way.name) ?? everyEnding(context);
  ofRun.set(way.name, sightings);
  return sightings;
}

/** A call with every kind of end, and everything that could be seen of it. */
async function everyEnding({
  harness,
  way,
  open,
  delegate,
  alice,
  bob,
}: CaseContext): Promise<Sightings> {
  const secrets = new Set<string>();
  const returned: unknown[] = [PLANTED];
  const thrown: unknown[] = [new Error(PLANTED)];
  const opened = await open();
  // One that has kept nothing, so that it has to ask.
  const asking = await open({ records: opened.records });
  const { output, spans } = await captured(async () => {
    console.info(PLANTED);
    trace.getTracer("@behalf/conformance").startSpan(PLANTED).end();
    const token = async (human: typeof alice) => {
      const delegation = await delegate(human);
      secrets.add(delegation.identity.token.reveal());
      return delegation;
    };
    const attempt = async (work: Promise<unknown>) => {
      thrown.push(await errorOf(work.then((value) => void returned.push(value))));
    };
    const first = await token(alice);
    returned.push(opened.plan(first));
    await attempt(
      opened.act(first, async (probe) => [
        await probe.look(),
        way.lacks.includes("whoAmI") ? null : await probe.whoAmI(),
      ]),
    );
    await attempt(opened.act(await token(bob), (probe) => probe.look()));
    await attempt(opened.act(await token(alice), (probe) => probe.fail()));
    await attempt(opened.act(await token(alice), (probe) => probe.hold(), { deadlineMs: 100 }));
    await attempt(
      opened.act(await token(alice), (probe) => probe.look(), { signal: AbortSignal.abort() }),
    );
    if (harness.faults !== undefined) {
      const up = await harness.faults.down();
      await attempt(opened.act(await token(alice), (probe) => probe.look(), { deadlineMs: 2_000 }));
      await up();
    }
    // A source that fails as HTTP clients do: it quotes the request, with the token in it.
    const quoting = await token(alice);
    asking.credentials.answer(async () => {
      throw Object.assign(
        new Error(`POST /token failed: subject_token=${quoting.identity.token.reveal()}`),
        { request: { body: quoting.identity.token.reveal() } },
      );
    });
    await attempt(asking.act(quoting, (probe) => probe.look()));
    // A backend or an issuer that says no to a token that nobody knows.
    const strange = `strange.${Buffer.from(`nobody knows this token ${quoting.callId}`).toString("base64url")}.x`;
    secrets.add(strange);
    asking.credentials.answer(async (delegation, real) => ({
      ...(await real.credential(delegation)),
      token: new Secret(strange),
    }));
    await attempt(asking.act(await token(alice), (probe) => probe.look()));
  }, PLANTED);
  // At the end: what the backend gave out meanwhile is among them.
  for (const secret of harness.secrets?.() ?? []) secrets.add(secret);
  for (const { token } of [...opened.credentials.given, ...asking.credentials.given]) {
    if (typeof token?.reveal === "function") secrets.add(token.reveal());
  }
  const recorded = [...opened.records.records, PLANTED];
  return {
    returned: returned.map(everythingIn).join("\n"),
    thrown: thrown.map(everythingIn).join("\n"),
    recorded: recorded.map(everythingIn).join("\n"),
    inspected: `${opened.inspected()}\n${PLANTED}`,
    logged: output,
    traced: spans,
    secrets: [...secrets],
  };
}
