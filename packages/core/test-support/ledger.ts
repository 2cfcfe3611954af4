import {
  type AdapterCallsOptions,
  adapterCalls,
  type Credential,
  type Delegation,
  memorySink,
  type OpenCall,
  orStopped,
  type RunOptions,
  Secret,
  type SessionLifecycle,
} from "../src/index.ts";

/** A backend in memory with transactions of its own: what was not committed is not there. */
export function ledger(options: Partial<AdapterCallsOptions> = {}) {
  const records = memorySink();
  const entries: string[] = [];
  const told: string[] = [];
  const shown: string[] = [];
  let open = 0;
  const credential: Credential = {
    token: new Secret("ledger-token-of-alice"),
    expiresAtMs: Date.now() + 60_000,
    audience: "ledger",
  };
  const credentials = {
    credential: async () => credential,
    invalidate: ({ subject }: { readonly subject: string }) => void told.push(subject),
  };
  const calls = adapterCalls({ backend: "ledger", records, credentials, ...options });

  async function begin(call: OpenCall) {
    const { token } = await call.credential();
    shown.push(token.reveal());
    open += 1;
    const uncommitted: string[] = [];
    return {
      call,
      uncommitted,
      write: (entry: string) =>
        call.part(
          { action: "write", statement: entry },
          () => {
            if (entry === "") throw new TypeError("nothing to write");
          },
          async () => void uncommitted.push(entry),
        ),
      /** Never ends by itself. */
      hang: () => orStopped(new Promise<never>(() => {}), call.clock),
    };
  }
  type Session = Awaited<ReturnType<typeof begin>>;

  const lifecycle: SessionLifecycle<Session> = {
    open: begin,
    async commit({ uncommitted }) {
      entries.push(...uncommitted.splice(0));
    },
    async giveUp() {
      open -= 1;
    },
  };
  return {
    ...calls,
    lifecycle,
    records: records.records,
    /** What is committed. */
    entries,
    /** Tokens that the backend was shown. */
    shown,
    /** Humans whose credentials were dropped. */
    told,
    openSessions: () => open,
    write: <T>(
      delegation: Delegation,
      work: (session: Session) => Promise<T>,
      runOptions: RunOptions = {},
      more: Partial<SessionLifecycle<Session>> = {},
    ) => calls.run(delegation, work, { access: "write", ...runOptions }, { ...lifecycle, ...more }),
  };
}
