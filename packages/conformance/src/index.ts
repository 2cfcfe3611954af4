export { adapterSuite } from "./adapter-suite.ts";
export type { AdapterSuiteOptions, Runner } from "./adapter-suite.ts";
export { CASES } from "./all-cases.ts";
export type { CaseContext, ConformanceCase, Opened } from "./conformance-case.ts";
export { GROUPS } from "./groups.ts";
export type { Group } from "./groups.ts";
export type {
  AdapterParts,
  DelegateOptions,
  Faults,
  Harness,
  Human,
  Observation,
  OptionalProbe,
  Probe,
  Seen,
  Way,
} from "./harness.ts";
export { reportText } from "./report.ts";
export type { CaseResult, Report, ReportRow } from "./report.ts";
export { runConformance } from "./run-conformance.ts";
export type { RunConformanceOptions } from "./run-conformance.ts";
export type { SuiteOptions } from "./stage.ts";
