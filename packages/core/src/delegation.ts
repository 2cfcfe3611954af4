import type { Identity } from "./identity.ts";

/**
 * What the human consented to. The task authority issues it; a gateway that has none passes none.
 * Verbs that a task names are `read`, `create`, `update`, `delete` and `call`.
 */
export interface Task {
  readonly id: string;
  /** RFC 9396 `authorization_details`. */
  readonly authorizationDetails: readonly AuthorizationDetail[];
  /** End of the task, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** One entry of a task's `authorization_details`. */
export interface AuthorizationDetail {
  readonly type: string;
  readonly actions: readonly ("read" | "create" | "update" | "delete" | "call")[];
  /** Exact resolved names, for example `public.orders`. */
  readonly objects: readonly string[];
}

/** What an adapter receives: who, for what, and the name of this one call. */
export interface Delegation {
  /** UUID version 7. The same id stands in the records and in the backend's own log. */
  readonly callId: string;
  readonly identity: Identity;
  readonly task?: Task;
  /** The tool that the agent called, for the records. */
  readonly tool?: string;
}
