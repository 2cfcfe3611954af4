import type { Fault } from "./fault.ts";
import { each, quick, slow } from "./works.ts";

const lost = "backend.unavailable";

/** What the network does. */
export const NETWORK_FAULTS: readonly Fault[] = [
  ...each(
    "the network is cut in the middle of a result",
    async (stage, call) => {
      stage.proxy.cutAfter(20_000);
      const text = "select i, repeat('x', 500) from generate_series(1, 1000) i";
      await stage.call(call, { ...quick(stage, call), text });
    },
    {
      "text reads": [lost, "", "", "", "cut"],
      stream: [lost, "", "", "", "cut"],
    },
  ),
  ...each(
    "the network is cut in the middle of a statement, and the server goes on",
    async (stage, call) => {
      const going = stage.call(call, slow(stage, call, 0.3));
      going.catch(() => {});
      await stage.waitsFor("PgSleep");
      stage.proxy.mode("cut");
      try {
        await going;
      } finally {
        // Else the adapter, which asks the server to stop, could still reach it.
        if (call !== "stream" && call !== "run that writes") await stage.endsAt("PgSleep");
      }
    },
    {
      "text reads": [lost, "", "", "", "cut"],
      "text writes": [lost, "", "unknown", "yes", "cut"],
      "statement writes": [lost, "", "unknown", "yes", "cut"],
      "run that writes": [lost, "", "none", "no", "cut"],
      stream: [lost, "", "", "", "cut"],
    },
  ),
  ...each(
    "the network is cut between the COMMIT and its answer",
    async (stage, call) => {
      const work = quick(stage, call);
      const cutOnceMade = async () => {
        while (
          (await stage.ask("select 1 as n from marks where id = $1", [stage.mark])).length === 0
        );
        stage.proxy.mode("cut");
      };
      if (call !== "run that writes") stage.proxy.mode("deaf");
      const going = stage.call(call, {
        ...work,
        next: async () => stage.proxy.mode("deaf"),
      });
      going.catch(() => {});
      await cutOnceMade();
      await going;
    },
    {
      "text writes": [lost, "", "unknown", "yes", "cut"],
      "statement writes": [lost, "", "unknown", "yes", "cut"],
      "run that writes": [lost, "", "unknown", "yes", "cut"],
    },
  ),
  ...each(
    "the network goes silent before the server hears of the call",
    async (stage, call) => {
      stage.proxy.mode("hold");
      stage.defer(async () => stage.proxy.mode("cut"));
      await stage.call(call, quick(stage, call), { deadlineMs: 300 });
    },
    {
      "text reads": ["timeout", "", "", "", "cut"],
      "text writes": ["timeout", "", "unknown", "no", "cut"],
      "run that writes": ["timeout", "", "none", "no", "cut"],
    },
  ),
];
