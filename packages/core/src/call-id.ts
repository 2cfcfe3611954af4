import { randomFillSync } from "node:crypto";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const COUNTER_END = 0x1000;

const random = new Uint8Array(10);
let lastMs = 0;
let counter = 0;

/**
 * A new call id: UUID version 7 (RFC 9562), which sorts by time as text. Ids of one process only ever
 * grow, also within one millisecond and when the clock is set back: 12 bits of `rand_a` count from a
 * random start in the lower half (RFC 9562, 6.2, method 1), 62 bits are random.
 *
 * @param nowMs milliseconds since the epoch. Default is the system clock.
 * @example
 * ```ts
 * newCallId(); // "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
 * ```
 */
export function newCallId(nowMs: number = Date.now()): string {
  randomFillSync(random);
  if (nowMs > lastMs) {
    lastMs = nowMs;
    counter = (((random[0] ?? 0) << 8) | (random[1] ?? 0)) & 0x7ff;
  } else if (++counter === COUNTER_END) {
    // More than 2,048 ids in one millisecond: borrow the next one, as the RFC suggests.
    lastMs += 1;
    counter = 0;
  }
  const time = lastMs.toString(16).padStart(12, "0");
  const count = counter.toString(16).padStart(3, "0");
  const variant = (((random[2] ?? 0) & 0x3f) | 0x80).toString(16);
  const rest = Buffer.from(random.subarray(3)).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${variant}${rest.slice(0, 2)}-${rest.slice(2)}`;
}

/** Whether `value` is a UUID as RFC 9562 writes it, in lower case. */
export function isCallId(value: unknown): value is string {
  return typeof value === "string" && UUID.test(value);
}
