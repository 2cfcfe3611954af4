import type { RecordSink } from "./audit-record.ts";
import { newCallId } from "./call-id.ts";
import type { OpenDecision } from "./decision-record.ts";
import type { BehalfError } from "./errors.ts";
import { writeDenied } from "./recorded-call.ts";

/** So many refusals of nobody in particular are recorded one by one at once, and so many a second after that. */
const BURST = 500;
const PER_SECOND = 5;

/** How often the others are recorded, as one for each kind, in milliseconds. */
const SUM_MS = 1_000;

/** Records refusals of callers that proved nothing, so that they cannot fill the disk. */
export interface RefusalFlood {
  /** Resolves with the error to throw, keyed on the record that tells of it. */
  record(decision: OpenDecision, error: BehalfError): Promise<BehalfError>;
  /** Records what was counted until now. */
  close(): void;
}

interface Sum {
  readonly id: string;
  readonly first: OpenDecision;
  readonly error: BehalfError;
  repeated: number;
}

/**
 * Anybody can send tokens that prove nobody: 60 connections wrote 10 MB of records a second, and a full disk
 * refuses everybody. Beyond the burst refusals are counted, by code and reason, and each kind is one record a
 * second with how many it stands for. Refusals of proven humans are never counted together.
 */
export function refusalFlood(records: RecordSink, now: () => number): RefusalFlood {
  let room = BURST;
  let filledAt = now();
  let timer: NodeJS.Timeout | undefined;
  const sums = new Map<string, Sum>();

  function hasRoom(): boolean {
    const at = now();
    room = Math.min(BURST, room + (Math.max(0, at - filledAt) / 1000) * PER_SECOND);
    filledAt = at;
    if (room < 1) return false;
    room -= 1;
    return true;
  }

  function writeSums(): void {
    clearTimeout(timer);
    timer = undefined;
    for (const { id, first, error, repeated } of sums.values()) {
      const { unverified: _, ...decision } = first;
      // Nobody waits for it: who is refused is refused, and a sink that is broken refuses every call.
      writeDenied(records, { ...decision, id, repeated }, error).catch(() => {});
    }
    sums.clear();
  }

  return {
    async record(decision, error) {
      if (hasRoom()) return writeDenied(records, decision, error);
      const kind = `${error.code} ${error.reason ?? ""}`;
      let sum = sums.get(kind);
      if (!sum) {
        sum = { id: newCallId(), first: decision, error, repeated: 0 };
        sums.set(kind, sum);
      }
      sum.repeated += 1;
      timer ??= setTimeout(writeSums, SUM_MS).unref();
      return error.forCall(sum.id, decision.backend);
    },
    close: writeSums,
  };
}
