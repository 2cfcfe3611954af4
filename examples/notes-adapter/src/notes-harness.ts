import type { Harness, Human } from "@behalf/conformance";

import { capabilities, notes, type NotesSession } from "./notes-adapter.ts";
import { AGENTS, type Parts, SECRET } from "./notes-parts.ts";

interface Note {
  readonly owner: string;
}

export function notesHarness(parts: Parts): Harness<NotesSession> {
  const { issuer, service } = parts;
  const human = (name: string): Human => ({
    name,
    subject: { issuer, subject: name },
    owner: `notes of ${name}`,
  });
  return {
    backend: "notes",
    evidence: "emulated",
    capabilities,
    humans: [human("alice"), human("bob"), human("carol")],
    agents: AGENTS,
    nativeCode: "no_such_note",
    delegate: ({ name }, options) => parts.delegate(name, options),
    credentials: () => parts.credentials(),
    adapter: ({ credentials, records }) => notes({ url: service.url, credentials, records }),
    probe: (session) => ({
      look: async () => (await session.get<Note[]>("/notes")).map(({ owner }) => owner),
      hold: () => session.get("/slow"),
      fail: () => session.get("/notes/0"),
      whoAmI: () => session.whoAmI(),
    }),
    observe: async () => ({
      reads: service.log.reads.map(({ identity: { issuer: iss, subject, actors }, owner }) => ({
        subject: { issuer: iss, subject },
        actors: actors.map((actor) => actor.subject),
        owner,
      })),
      writes: [],
      running: service.log.running,
      sessions: [],
      left: [],
      trips: { backend: service.log.requests, identity: parts.exchanges },
    }),
    faults: { down: () => service.stop() },
    secrets: () => [SECRET],
    roundTrips: { run: 1 },
  };
}
