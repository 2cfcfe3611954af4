export { declarationProblems, declaredTool } from "./declared-tool.ts";
export type {
  DeclarationProblem,
  DeclaredParameter,
  ParameterType,
  ToolDeclaration,
} from "./declared-tool.ts";
export type { GatewayLog, GatewayLogEntry } from "./gateway-log.ts";
export type { GatewayLimits, GatewayOptions } from "./gateway-options.ts";
export { gateway } from "./gateway.ts";
export type { Gateway, ListenOptions } from "./gateway.ts";
export { statementTool } from "./statement-tool.ts";
export type { StatementToolOptions } from "./statement-tool.ts";
export type { Tool, ToolCall } from "./tool.ts";
