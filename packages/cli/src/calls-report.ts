import { isCallId, type Actor } from "@behalf/core";

import type { RecordedCall } from "./call-records.ts";
import { columns, printable } from "./printable.ts";
import type { RunningCall } from "./running-calls.ts";

/** One running call with what its records say, as `--json` prints it. */
export interface ReportedCall extends RunningCall {
  /** From the records; null without one. */
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly actors: readonly Actor[];
  readonly access: string | null;
  readonly action: string | null;
  readonly tool: string | null;
  readonly task: string | null;
  readonly statement: string | null;
  readonly statementHash: string | null;
  /** What keeps this line from being believed as it stands. */
  readonly doubts: readonly string[];
}

export function reportedCall(
  call: RunningCall,
  recorded: RecordedCall | undefined,
  all: readonly RunningCall[],
): ReportedCall {
  const doubts: string[] = [];
  if (!isCallId(call.callId)) doubts.push("this is no call id: no gateway of Behalf's gave it");
  else if (recorded === undefined) doubts.push("no record in these files");
  else if (recorded.decision.decision === "deny") doubts.push("its record says that it was denied");
  else if (recorded.hasEnded) doubts.push("its records say that it has ended");
  const twins = all.filter(({ callId, pid }) => callId === call.callId && pid !== call.pid);
  if (twins.length > 0) {
    doubts.push(`claimed by pid ${twins.map(({ pid }) => pid).join(", ")}, too`);
  }
  const { decision, part } = recorded ?? {};
  // A run has no statement of its own; each of its parts has.
  const worded = part ?? decision;
  return {
    ...call,
    issuer: decision?.subject?.issuer ?? null,
    subject: decision?.subject?.subject ?? null,
    actors: decision?.actors ?? [],
    access: decision?.access ?? null,
    action: decision?.action ?? null,
    tool: decision?.tool ?? null,
    task: decision?.task ?? null,
    statement: worded?.statement ?? ownWords(call.query),
    statementHash: worded?.statementHash ?? null,
    doubts,
  };
}

/**
 * The server's text where it is the statement itself. What the gateway sends around it says nothing of the
 * call: for a sandbox call the agent's text is a parameter, which no server shows.
 */
function ownWords(query: string | null): string | null {
  if (query === null || query.trim() === "") return null;
  const isOurs = /\bbehalf\.|^(begin|rollback|commit)\b|pg_catalog\.set_config/i.test(query);
  return isOurs ? null : query;
}

/** For people. */
export function callsText(calls: readonly ReportedCall[]): string {
  const table = columns([
    ["PID", "BACKEND START", "RUNS", "STATE", "HUMAN", "AGENT", "LOGIN", "CLIENT"],
    ...calls.map((call) => [
      String(call.pid),
      call.backendStart ?? "?",
      call.runsMs === null ? "?" : duration(call.runsMs),
      stateOf(call),
      call.subject === null ? "?" : printable(call.subject),
      call.actors.map(({ subject }) => printable(subject)).join(" for ") || "-",
      printable(call.login),
      call.clientAddress ?? "-",
    ]),
  ]);
  const [head = "", ...lines] = table;
  return [head, ...calls.flatMap((call, index) => [lines[index] ?? "", ...details(call)])].join(
    "\n",
  );
}

function details(call: ReportedCall): string[] {
  const { issuer, access, action, tool, task, statement, statementHash } = call;
  const what = [access, action, tool && `tool ${tool}`, task && `task ${task}`];
  return [
    `  call ${printable(call.callId)}`,
    ...(issuer === null ? [] : [`  issuer ${printable(issuer)}`]),
    ...(what.some(Boolean) ? [`  ${printable(what.filter(Boolean).join(", "))}`] : []),
    ...(statement === null
      ? statementHash === null
        ? []
        : [
            `  statement with SHA-256 ${printable(statementHash)}; records.statements: text would record its text`,
          ]
      : [`  ${printable(statement)}`]),
    ...call.doubts.map((doubt) => `  ! ${doubt}`),
  ];
}

function stateOf({ state, waitsFor }: RunningCall): string {
  if (state === null) return "?";
  return waitsFor === null ? state : `${state} (${waitsFor})`;
}

function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
