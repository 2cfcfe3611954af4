import { expect, it } from "vitest";
import * as core from "./index.ts";

it("exports these values and no others", () => {
  expect(Object.keys(core).toSorted()).toEqual([
    "BehalfError",
    "SIGNATURE_ALGORITHMS",
    "Secret",
    "adapterCalls",
    "assertDelegation",
    "assertPrincipal",
    "callClock",
    "callsOf",
    "canonicalJson",
    "credentialCache",
    "delegator",
    "identityVerifier",
    "isCallId",
    "isStatement",
    "issuerKeySet",
    "joinCalls",
    "jsonlSink",
    "memorySink",
    "newCallId",
    "orStopped",
    "passthrough",
    "postgresNames",
    "readRecords",
    "readRecordsFromEnd",
    "recordDenied",
    "recordedCall",
    "sql",
    "statementHash",
    "tokenExchange",
  ]);
});
