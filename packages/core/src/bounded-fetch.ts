import { abortable } from "./abortable.ts";

/** The part of `fetch` that is used. Inject one for a proxy or for mutual TLS. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Longest answer of an issuer, in bytes. A key set of 100 RSA keys has about 50 kB. */
const MAX_ANSWER_BYTES = 256 * 1024;

/** An answer that does not come, told without anything that was sent or received. */
export class FetchFailure extends Error {
  override readonly name: string = "FetchFailure";
  /** For example `ECONNREFUSED`, `timeout`, `HTTP 503`. */
  readonly what: string;

  constructor(what: string) {
    super(`the request failed: ${what}`);
    this.what = what;
  }
}

/**
 * `fetch` with bounds: the whole answer, body included, within `timeoutMs`, and no longer than 256 KiB.
 * Redirects are not followed, because the target was checked and its redirect was not.
 *
 * @throws FetchFailure, or the reason of `init.signal` when that fired
 */
export function boundedFetch(timeoutMs: number, fetch: Fetch = globalThis.fetch): Fetch {
  return async (url, init) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const caller = init.signal ?? undefined;
    const signal = caller === undefined ? timeout : AbortSignal.any([caller, timeout]);
    try {
      // Also a fetch that was passed in and does not heed its signal has to end.
      return await abortable(
        wholeAnswer(fetch(url, { ...init, redirect: "manual", signal })),
        signal,
      );
    } catch (error) {
      if (error instanceof FetchFailure) throw error;
      if (caller?.aborted === true) throw caller.reason;
      throw new FetchFailure(timeout.aborted ? "timeout" : networkCode(error));
    }
  };
}

async function wholeAnswer(asked: Promise<Response>): Promise<Response> {
  const response = await asked;
  const body = await readBody(response);
  const { status, headers } = response;
  // A null body status does not take a body, not even an empty one.
  return new Response(status === 204 || status === 304 ? null : body, { status, headers });
}

async function readBody(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength;
    if (length > MAX_ANSWER_BYTES) throw new FetchFailure("answer too large");
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** The system's own code of an error, and nothing else of it: messages may quote what was sent. */
function networkCode(error: unknown): string {
  for (
    let at: unknown = error, depth = 0;
    at instanceof Error && depth < 4;
    at = at.cause, depth++
  ) {
    const code: unknown = "code" in at ? at.code : undefined;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,40}$/.test(code)) return code;
  }
  return "network error";
}
