import {
  type Adapter,
  adapterCalls,
  assertPrincipal,
  BehalfError,
  type Capabilities,
  type CredentialSource,
  type OpenCall,
  type Principal,
  type RecordSink,
} from "@behalf/core";

export interface NotesSession {
  get<T>(path: string): Promise<T>;
  whoAmI(): Promise<Principal>;
}

export interface NotesOptions {
  readonly url: string;
  readonly credentials: CredentialSource;
  readonly records: RecordSink;
}

export const capabilities: Capabilities = {
  identity: { grade: "native", evidence: "emulated", note: "The service verifies the token." },
  rows: { grade: "native", evidence: "emulated", note: "The service gives everybody their own." },
  deadline: { grade: "native", evidence: "emulated", note: "It stops when the request is ended." },
  taskScope: { grade: "refused", evidence: "emulated", note: "The service knows no tasks." },
};

export function notes({ url, credentials, records }: NotesOptions): Adapter<NotesSession> {
  const calls = adapterCalls({ backend: "notes", credentials, records, mapError });
  /** Whose each credential is, as the service said. */
  const known = new WeakMap<object, Principal>();

  async function get<T>(call: OpenCall, path: string): Promise<T> {
    const { token } = await call.credential();
    const headers = { authorization: `Bearer ${token.reveal()}` };
    const response = await fetch(new URL(path, url), { headers, signal: call.clock.signal });
    const body: T = JSON.parse(await response.text());
    if (!response.ok) throw Object.assign(new Error(`HTTP ${response.status}`), body);
    return body;
  }

  async function whoAmI(call: OpenCall): Promise<Principal> {
    const { iss, sub, actors } = await get<Me>(call, "/me");
    return { name: sub, subject: { issuer: iss, subject: sub }, actors, native: {} };
  }

  /** Asks once for each credential whom the service sees, and compares for each call. */
  async function prove(call: OpenCall): Promise<void> {
    const credential = await call.credential();
    const principal = known.get(credential) ?? (await whoAmI(call));
    assertPrincipal(principal, call.delegation, "notes");
    known.set(credential, principal);
  }

  /** The path may be an agent's, and one that names another server would take the human's token there. */
  function checkPath(path: string): void {
    if (new URL(path, url).origin === new URL(url).origin) return;
    throw new BehalfError("statement.refused", "[notes] a path names nothing but what is here");
  }

  async function open(call: OpenCall): Promise<NotesSession> {
    await prove(call);
    const part = <T>(path: string, work: () => Promise<T>) =>
      call.part({ action: `GET ${path}` }, () => checkPath(path), work);
    return {
      get: (path) => part(path, () => get(call, path)),
      whoAmI: () => part("/me", () => whoAmI(call)),
    };
  }

  return {
    specificationVersion: 1,
    backend: "notes",
    capabilities,
    plan: ({ identity: { issuer, subject } }) => ({
      backend: "notes",
      subject: { issuer, subject },
      steps: [{ action: "GET", parameters: { authorization: "[redacted]" } }],
    }),
    run: (delegation, work, options) => calls.run(delegation, work, options, { open }),
    invalidate: (subject) => calls.invalidate(subject),
    close: () => calls.close(),
  };
}

interface Me {
  readonly iss: string;
  readonly sub: string;
  readonly actors: readonly string[];
}

/** One pure function says what the service's errors mean. */
function mapError(cause: unknown): BehalfError {
  const nativeCode = cause instanceof Error && "error" in cause ? String(cause.error) : undefined;
  if (nativeCode === undefined) {
    return new BehalfError("backend.unavailable", "[notes] not reached; try later", { cause });
  }
  const code = nativeCode === "unknown_token" ? "identity.rejected" : "backend.failed";
  return new BehalfError(code, `[notes] the service says ${nativeCode}`, { nativeCode, cause });
}
