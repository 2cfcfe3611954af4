import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";

export type Body =
  | { readonly kind: "text"; readonly text: string }
  /** Longer than allowed. What still comes is thrown away unread. */
  | { readonly kind: "too_large" }
  /** JSON is UTF-8 (RFC 8259, 8.1). */
  | { readonly kind: "not_utf8" }
  /** The client went away. */
  | { readonly kind: "gone" };

/**
 * The body of a request, with no more of it in memory than `maxBytes`.
 *
 * @param maxBytes the longest body that is read, in bytes
 */
export function readBody(req: IncomingMessage, maxBytes: number): Promise<Body> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (body: Body) => {
      req.off("data", onData);
      req.off("end", onEnd);
      req.off("error", onGone);
      req.off("close", onGone);
      resolve(body);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        end({ kind: "too_large" });
        req.on("error", () => {}).resume();
      } else {
        chunks.push(chunk);
      }
    };
    const onEnd = () => {
      const [first] = chunks;
      const whole = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
      end(isUtf8(whole) ? { kind: "text", text: whole.toString("utf8") } : { kind: "not_utf8" });
    };
    const onGone = () => end({ kind: "gone" });
    // It went while its token was being looked at: nothing would ever happen here.
    if (req.destroyed) return onGone();
    req.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
  });
}
