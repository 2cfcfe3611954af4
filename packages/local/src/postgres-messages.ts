/** The account a server runs under; only set when the caller is root, whom PostgreSQL refuses. */
export interface ServerOwner {
  readonly uid: number;
  readonly gid: number;
}

export type StopMode = "fast" | "immediate";

/** Everything the guardian needs to make one server. */
export interface CreateRequest {
  readonly op: "create";
  /** A folder with `bin`, `lib` and `share`. */
  readonly binaries: string;
  readonly password: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly owner: ServerOwner | undefined;
}

/** Everything else that a standby needs is its primary's. */
export interface StandbyRequest {
  readonly op: "standby";
  readonly primary: number;
  readonly settings: Readonly<Record<string, string>>;
}

/** What the process that uses the servers asks its guardian to do. */
export type GuardianRequest =
  | CreateRequest
  | StandbyRequest
  | { readonly op: "start"; readonly server: number }
  | { readonly op: "stop"; readonly server: number; readonly mode: StopMode }
  | { readonly op: "remove"; readonly server: number };

export interface CreatedServer {
  readonly server: number;
  readonly dataDirectory: string;
  readonly port: number;
}

/** What comes back: answers by request number, and news that nobody asked for. */
export type GuardianMessage =
  | { readonly kind: "answer"; readonly id: number; readonly value: CreatedServer | null }
  | { readonly kind: "failure"; readonly id: number; readonly message: string }
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "running"; readonly server: number; readonly pid: number }
  | { readonly kind: "stopped"; readonly server: number };

export interface NumberedRequest {
  readonly id: number;
  readonly request: GuardianRequest;
}
