export type {
  Adapter,
  Capabilities,
  Capability,
  DelegationPlan,
  DelegationStep,
  Evidence,
  Grade,
  Principal,
  QueryOptions,
  RunOptions,
  SqlAdapter,
  SqlColumn,
  SqlResult,
  SqlRow,
  SqlSession,
  SqlStream,
  StreamOptions,
  TypeParser,
} from "./adapter.ts";
export { adapterCalls } from "./adapter-calls.ts";
export type { AdapterCalls, AdapterCallsOptions } from "./adapter-calls.ts";
export type { SessionLifecycle } from "./adapter-run.ts";
export { assertDelegation } from "./assert-delegation.ts";
export { assertPrincipal } from "./assert-principal.ts";
export type { Fetch } from "./bounded-fetch.ts";
export type {
  AuditRecord,
  DecisionRecord,
  OutcomeRecord,
  RecordSink,
  TokenFacts,
} from "./audit-record.ts";
export { callClock, orStopped } from "./call-clock.ts";
export type { CallClock } from "./call-clock.ts";
export { isCallId, newCallId } from "./call-id.ts";
export { canonicalJson } from "./canonical-json.ts";
export { credentialCache } from "./credential-cache.ts";
export type { CredentialCacheOptions } from "./credential-cache.ts";
export type { Credential, CredentialSource } from "./credential.ts";
export { statementHash } from "./decision-record.ts";
export type { CallFacts } from "./decision-record.ts";
export type { AuthorizationDetail, Delegation, Task } from "./delegation.ts";
export { delegator } from "./delegator.ts";
export type { DelegateOptions, Delegator, DelegatorOptions } from "./delegator.ts";
export { BehalfError } from "./errors.ts";
export type { BehalfErrorCode, BehalfErrorFacts } from "./errors.ts";
export type { Actor, Identity, JsonValue, SubjectRef } from "./identity.ts";
export type { IdentityRefusal } from "./identity-refusal.ts";
export { identityVerifier } from "./identity-verifier.ts";
export type { IdentityVerifier, IdentityVerifierOptions } from "./identity-verifier.ts";
export { issuerKeySet } from "./issuer-key-set.ts";
export type { IssuerKeySetOptions } from "./issuer-key-set.ts";
export { jsonlSink } from "./jsonl-sink.ts";
export type { JsonlSinkOptions } from "./jsonl-sink.ts";
export { memorySink } from "./memory-sink.ts";
export type { MemorySink } from "./memory-sink.ts";
export { postgresNames } from "./names.ts";
export type { OpenCall, PartFacts } from "./open-call.ts";
export { passthrough } from "./passthrough.ts";
export { readRecords } from "./read-records.ts";
export type { RecordReader } from "./read-records.ts";
export { readRecordsFromEnd } from "./read-records-from-end.ts";
export { recordDenied, recordedCall } from "./recorded-call.ts";
export type { NoteOutcome, OutcomeFacts } from "./recorded-call.ts";
export { callsOf, joinCalls } from "./recorded-calls.ts";
export type { CallFilter, CallRecord } from "./recorded-calls.ts";
export { Secret } from "./secret.ts";
export { isStatement, sql } from "./statement.ts";
export type { SqlValue, Statement } from "./statement.ts";
export type { ExchangeRefusal } from "./token-exchange-error.ts";
export { tokenExchange } from "./token-exchange.ts";
export type {
  ClientProof,
  TokenExchange,
  TokenExchangeFacts,
  TokenExchangeOptions,
} from "./token-exchange.ts";
export {
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  type TrustedIssuer,
} from "./trusted-issuer.ts";
