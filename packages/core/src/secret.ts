import { inspect } from "node:util";

const REDACTED = "[redacted]";

/**
 * Holds a credential so that it cannot be printed by accident: string conversion, JSON, `inspect`,
 * `structuredClone` and enumeration all show `[redacted]` or nothing. Only {@link Secret.reveal}
 * gives the value back, and a search for that word finds every place that uses one.
 *
 * @example
 * ```ts
 * const token = new Secret(request.headers.authorization);
 * console.log(`${token}`, JSON.stringify({ token })); // [redacted] {"token":"[redacted]"}
 * await fetch(url, { headers: { authorization: token.reveal() } });
 * ```
 */
export class Secret {
  readonly #value: string;

  static {
    Object.defineProperty(this.prototype, inspect.custom, { value: () => REDACTED });
  }

  constructor(value: string) {
    this.#value = value;
    Object.freeze(this);
  }

  /** The value itself. The caller sees to it that it reaches the wire and nothing else. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }
}
