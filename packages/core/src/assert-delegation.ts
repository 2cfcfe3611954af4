import { isCallId } from "./call-id.ts";
import type { Delegation } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import { isIdentityName } from "./identity-name.ts";
import { isJsonObject } from "./json-object.ts";

/**
 * Checks what an adapter was handed, each time it is handed one: a delegation that was kept for an
 * hour is no proof any more.
 *
 * @param nowMs milliseconds since the epoch. Default is the system clock.
 * @throws BehalfError `identity.missing` (nothing there), `identity.rejected` (reason `delegation`: not
 *   a delegation), `identity.expired`, `task.scope_exceeded` (reason `expired`: the task is over)
 * @example
 * ```ts
 * assertDelegation(input);
 * input.identity.subject; // typed, and fresh
 * ```
 */
export function assertDelegation(
  value: unknown,
  nowMs: number = Date.now(),
): asserts value is Delegation {
  if (value === undefined || value === null) {
    throw new BehalfError("identity.missing", "no delegation was given; call delegate() first", {
      reason: "missing",
    });
  }
  const { callId, identity, task } = record(value, "a delegation");
  if (!isCallId(callId)) throw notADelegation("its callId is not a UUID in lower case");
  const who = record(identity, "its identity");
  if (!isIdentityName(who["issuer"])) throw notADelegation("its issuer is not a usable name");
  if (!isIdentityName(who["subject"])) throw notADelegation("its subject is not a usable name");
  if (!Array.isArray(who["actors"])) throw notADelegation("its actors are not a list");
  if (!isSecret(who["token"])) throw notADelegation("its token is not a Secret");
  if (typeof who["expiresAtMs"] !== "number" || Number.isNaN(who["expiresAtMs"])) {
    throw notADelegation("its expiresAtMs is not a number");
  }
  if (who["expiresAtMs"] <= nowMs) {
    throw new BehalfError(
      "identity.expired",
      "the human's token has expired; refresh it and delegate again",
      { reason: "expired", callId },
    );
  }
  if (task !== undefined) assertTask(record(task, "its task"), callId, nowMs);
}

function assertTask(task: Readonly<Record<string, unknown>>, callId: string, nowMs: number): void {
  if (typeof task["id"] !== "string" || task["id"] === "") {
    throw notADelegation("its task has no id");
  }
  if (!Array.isArray(task["authorizationDetails"])) {
    throw notADelegation("its task has no authorizationDetails");
  }
  if (typeof task["expiresAtMs"] !== "number" || !(task["expiresAtMs"] > nowMs)) {
    throw new BehalfError("task.scope_exceeded", "the task is over; ask for a new one", {
      reason: "expired",
      callId,
    });
  }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (!isJsonObject(value)) throw notADelegation(`${what} is no object`);
  return value;
}

// By shape as well as by class: an adapter may have been installed with another copy of this package.
function isSecret(value: unknown): boolean {
  return isJsonObject(value) && typeof value["reveal"] === "function";
}

function notADelegation(why: string): BehalfError {
  return new BehalfError(
    "identity.rejected",
    `this is not a delegation: ${why}; only delegate() makes one`,
    { reason: "delegation" },
  );
}
