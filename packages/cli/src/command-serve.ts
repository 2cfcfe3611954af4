import type { GatewayLogEntry } from "@behalf/gateway";

import { compose, type Running } from "./compose.ts";
import { checkedConfig } from "./command-config.ts";
import { errorCode } from "./config-secret.ts";
import type { Environment } from "./config-text.ts";
import type { Output } from "./run.ts";

const DRAIN_SECONDS = 10;

/** Serves until a signal comes. The first lets running calls finish, the second does not. */
export async function serve(path: string, env: Environment, output: Output): Promise<number> {
  const config = await checkedConfig(path, false, env, output);
  if (config === undefined) return 1;
  const { server } = config.file;
  const running = await compose(config, (entry) => output.error(logLine(entry)));
  const host = server.host ?? "127.0.0.1";
  const port = server.port ?? 8080;
  const drainMs = 1_000 * (server.drainSeconds ?? DRAIN_SECONDS);
  try {
    const address = await running.gateway.listen({ host, port });
    const name = address.host.includes(":") ? `[${address.host}]` : address.host;
    output.out(`behalf: listening on http://${name}:${address.port}`);
    output.out(`behalf: MCP endpoint ${server.publicUrl}`);
  } catch (error) {
    output.error(`behalf: cannot listen on ${host}:${port}: ${listenMessage(errorCode(error))}`);
    await running.close({ drainMs: 0 });
    return 1;
  }
  await untilSignal(running, drainMs, output);
  return 0;
}

async function untilSignal(running: Running, drainMs: number, output: Output): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isStopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (isStopping) {
      output.error(`behalf: ${signal} again, stopping at once`);
      process.exit(signal === "SIGINT" ? 130 : 143);
    }
    isStopping = true;
    output.out(`behalf: ${signal}, finishing what runs (at most ${drainMs / 1_000} s)`);
    running.close({ drainMs }).then(resolve, reject);
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  try {
    await promise;
  } finally {
    process.off("SIGTERM", stop).off("SIGINT", stop);
  }
  output.out("behalf: stopped");
}

function listenMessage(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is taken; choose another under server.port, or stop who has it";
    case "EACCES":
      return "this user may not use the port; choose one from 1024 on";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `this machine has no such address (${code}); correct server.host`;
    default:
      return code;
  }
}

function logLine(entry: GatewayLogEntry): string {
  return JSON.stringify({ time: new Date().toISOString(), ...entry });
}
