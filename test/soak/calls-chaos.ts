import type { LocalPostgres } from "@behalf/local";
import pg from "pg";

import type { TcpProxy } from "../support/tcp-proxy.ts";
import type { World } from "../support/world.ts";

/** Faults that no call asks for. */
export interface Chaos {
  /** Called after each call; starts the faults that are due. */
  after(call: number): void;
  /** Resolves when no fault is going on. */
  settled(): Promise<void>;
  readonly counts: Readonly<Record<string, number>>;
}

export function chaos(options: {
  readonly calls: number;
  readonly random: () => number;
  readonly server: LocalPostgres;
  readonly proxy: TcpProxy;
  readonly world: World;
}): Chaos {
  const { server, proxy, world, random } = options;
  const running = new Set<Promise<void>>();
  const counts: Record<string, number> = {};
  let isDown = false;

  async function onServer(text: string): Promise<void> {
    const { database } = world.names;
    const url = server.urlFor({ ...server.superuser, database });
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.query(text, [world.names.gateway, world.names.statementGateway]);
    } finally {
      await client.end();
    }
  }
  const one = (what: string) =>
    onServer(
      `select ${what}(pid) from (select pid from pg_stat_activity where usename in ($1, $2) order by random() limit 1) s`,
    );
  async function restart(mode: "fast" | "immediate"): Promise<void> {
    isDown = true;
    try {
      await server.stopServer(mode);
      await server.startServer();
    } finally {
      isDown = false;
    }
  }
  const wait = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      setTimeout(resolve, milliseconds);
    });

  const seldom = Math.max(8_000, Math.ceil(options.calls / 20));
  const faults: readonly (readonly [string, number, () => Promise<void>])[] = [
    ["backends terminated", 211, () => one("pg_terminate_backend")],
    ["statements cancelled at the server", 307, () => one("pg_cancel_backend")],
    [
      "connections cut in the middle of what the server says",
      173,
      async () => proxy.cutAfter(1 + Math.floor(random() * 4_000)),
    ],
    [
      "answers lost, then all connections cut",
      1_009,
      async () => {
        proxy.mode("deaf");
        await wait(random() * 15);
        proxy.mode("cut");
        proxy.mode("pass");
      },
    ],
    [
      "silences of the network",
      1_511,
      async () => {
        proxy.mode("hold");
        await wait(random() * 60);
        proxy.mode("cut");
        proxy.mode("pass");
      },
    ],
    ["restarts of the server, fast", seldom, () => restart("fast")],
    ["restarts of the server, after a crash", seldom + 1_501, () => restart("immediate")],
  ];

  return {
    counts,
    after(call) {
      for (const [name, interval, fault] of faults) {
        // Whoever is down cannot be hurt.
        if (call % interval !== 0 || isDown) continue;
        counts[name] = (counts[name] ?? 0) + 1;
        // The superuser's own connection may be hit by a restart.
        const going = fault().catch((error: unknown) => {
          if (name.startsWith("restarts")) throw error;
        });
        running.add(going);
        const over = () => void running.delete(going);
        going.then(over, over);
      }
    },
    async settled() {
      await Promise.all(running);
    },
  };
}
