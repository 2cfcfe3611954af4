/** A line of the gateway's own log: what its operator should know. Never a token, a statement or a row. */
export interface GatewayLogEntry {
  readonly level: "info" | "error";
  readonly event: "tool_failed" | "request_failed" | "not_ready" | "protocol";
  readonly message: string;
  readonly code?: string;
  readonly tool?: string;
  readonly callId?: string;
}

export type GatewayLog = (entry: GatewayLogEntry) => void;
