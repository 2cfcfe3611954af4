import { connect } from "node:net";
import { text } from "node:stream/consumers";

import type { Harness, Human, Probe } from "@behalf/conformance";

import { capabilities, keyValue, type KeyValueSession } from "./key-value-adapter.ts";
import { AGENTS, type Parts, SECRET, STRANGER } from "./key-value-parts.ts";
import type { StoreLog } from "./key-value-store.ts";

const MARK = "mark";

function probe(session: KeyValueSession): Probe {
  return {
    look: async () => [await session.get("own")],
    hold: () => session.sleep(30),
    fail: () => session.get("nothing"),
    whoAmI: () => session.whoAmI(),
    change: (mark) => session.set(MARK, mark),
    echo: (value) => session.echo(value),
    leave: async () => {
      await session.select(1);
      await session.watch("own");
    },
    residue: async () => (await session.held()).filter((held) => !held.startsWith("user ")),
    hostile: {
      "another's name in a key": () => session.get("bob own"),
      "a second line in a key": () => session.get('own"]\n["RESET"]\n["GET","own"]'),
      "another line's end in a key": () => session.get('own"]\u2028["RESET"]'),
      "a database that is none": () => session.select(Number.NaN),
    },
  };
}

export function keyValueHarness(parts: Parts): Harness<KeyValueSession> {
  const { issuer, store } = parts;
  const human = (name: string): Human => ({
    name,
    subject: { issuer, subject: name },
    owner: `keys of ${name}`,
  });
  return {
    backend: "key-value",
    evidence: "emulated",
    capabilities,
    humans: [human("alice"), human("bob"), human("carol")],
    agents: AGENTS,
    nativeCode: "NOKEY",
    stranger: () => parts.delegate(STRANGER),
    delegate: ({ name }, options) => parts.delegate(name, options),
    credentials: () => parts.credentials(),
    adapter: ({ credentials, records, connections }) =>
      keyValue({ port: store.port, credentials, records, ...(connections && { connections }) }),
    probe,
    probes: ["echo", "residue", "hostile"],
    observe: async () => {
      const log: StoreLog = JSON.parse(await text(connect(store.adminPort, "127.0.0.1")));
      return {
        reads: log.reads.map(({ actors, owner, ...subject }) => ({ subject, actors, owner })),
        writes: log.sets
          .filter(({ key }) => key === MARK)
          .map(({ issuer: iss, subject, value: mark }) => ({
            subject: { issuer: iss, subject },
            mark,
          })),
        running: log.running,
        sessions: log.connections.map(({ id }) => id),
        left: log.connections.filter(({ busy }) => !busy).flatMap(({ left }) => left),
        trips: { backend: log.requests, identity: parts.exchanges },
      };
    },
    faults: { down: () => store.stop(), loseAnswer: () => store.loseAnswer() },
    secrets: () => [SECRET],
    roundTrips: { run: 4 },
  };
}
