import { look, tripsOf } from "../case-tools.ts";
import type { ConformanceCase } from "../conformance-case.ts";

export const costCases: readonly ConformanceCase[] = [
  {
    id: "cost.trips",
    group: "cost",
    title:
      "a human's further calls ask no identity provider, and cost the round trips that are promised",
    capability: null,
    async run(context) {
      const { harness, way, open, delegate, same, note, alice } = context;
      const opened = await open();
      const delegation = await delegate(alice);
      const first = await tripsOf(context, () => opened.act(delegation, look));
      const further = [];
      for (let n = 0; n < 3; n++) {
        further.push((await tripsOf(context, () => opened.act(delegation, look))).trips);
      }
      const [one] = further;
      note(
        `${way.name}: first call ${first.trips.backend} to the backend and ${first.trips.identity} to the identity provider, further calls ${one?.backend} and ${one?.identity}`,
      );
      const identity = further.map((trips) => trips.identity);
      same("trips to the identity provider", identity, [0, 0, 0]);
      const most = harness.roundTrips?.[way.name];
      const backend = further.map((trips) => trips.backend);
      if (most === undefined) same("the same number of trips each time", new Set(backend).size, 1);
      else same("trips to the backend", backend, [most, most, most]);
    },
  },
  {
    id: "cost.single-flight",
    group: "cost",
    title: "20 first calls of one human in one tick fetch one credential",
    capability: null,
    async run(context) {
      const { open, delegate, same, note, way, alice } = context;
      const opened = await open();
      const delegation = await delegate(alice);
      const { trips: alone } = await tripsOf(context, async () => {
        await (await open()).act(delegation, look);
      });
      const { trips } = await tripsOf(context, () =>
        Promise.all(Array.from({ length: 20 }, () => opened.act(delegation, look))),
      );
      note(
        `${way.name}: 20 first calls at once cost ${trips.identity} trips to the identity provider`,
      );
      same("trips to the identity provider", trips.identity, alone.identity);
    },
  },
];
