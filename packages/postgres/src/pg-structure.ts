/**
 * The parts of `pg` that the adapter uses, by structure: the caller brings the pool, and this package
 * does not import the driver. `new pg.Pool(...)` of pg 8.16 or later fits.
 */
export interface PgPool {
  connect(): Promise<PgClient>;
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Told of a connection that was made, before anybody has it. */
  on(event: "connect", listener: (client: PgClient) => void): unknown;
  /** Connections that are open. */
  readonly totalCount?: number;
  readonly options?: { readonly max?: number; readonly pipeline?: boolean | undefined };
}

/** A checked-out `pg` client. */
export interface PgClient {
  query(submittable: PgSubmittable): unknown;
  release(error?: Error | boolean): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  getTypeParser(typeId: number, format: "text"): (text: string) => unknown;
  readonly connection: PgConnection;
  readonly processID?: number | null;
  readonly secretKey?: number | null;
  readonly host?: string;
  readonly port?: number;
  /** What it was made with. Not in pg's types. */
  readonly connectionParameters?: {
    readonly application_name?: unknown;
    readonly fallback_application_name?: unknown;
  };
}

/** The protocol half of a `pg` client. Its types still ask for `more`, which pg 8 does not look at. */
export interface PgConnection {
  readonly stream: { cork(): void; uncork(): void; destroy(error?: Error): unknown };
  parse(message: { name: string; text: string }, more: boolean): void;
  bind(
    message: { portal?: string; statement?: string; binary?: string; values?: (string | null)[] },
    more: boolean,
  ): void;
  describe(message: { type: "P" | "S"; name: string }, more: boolean): void;
  execute(message: { portal?: string; rows?: string }, more: boolean): void;
  close(message: { type: "P" | "S"; name: string }, more: boolean): void;
  sync(): void;
  /** Not in the types of every version. */
  sendCopyFail?(message: string): void;
}

/** What `client.query` takes beside texts: an object that speaks the protocol itself. */
export interface PgSubmittable {
  submit(connection: PgConnection): Error | null;
  handleRowDescription(message: { readonly fields: readonly PgField[] }): void;
  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void;
  handleCommandComplete(message: { readonly text: string }): void;
  handlePortalSuspended(): void;
  handleEmptyQuery(): void;
  handleCopyInResponse(connection: PgConnection): void;
  handleCopyData(): void;
  handleError(error: Error): void;
  handleReadyForQuery(): void;
}

export interface PgField {
  readonly name: string;
  readonly dataTypeID: number;
}
