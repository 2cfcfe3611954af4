import { expect, it } from "vitest";
import * as core from "./index.ts";

it("exports these values and no others", () => {
  expect(Object.keys(core).toSorted()).toEqual([
    "BehalfError",
    "SIGNATURE_ALGORITHMS",
    "Secret",
    "assertDelegation",
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
