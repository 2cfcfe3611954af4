import type { GatewayLimits, GatewayOptions } from "./gateway-options.ts";
import { describeTablesTool } from "./tool-describe-tables.ts";
import { queryTool, writeTool } from "./tool-query.ts";
import { whoAmITool } from "./tool-whoami.ts";
import type { Tool } from "./tool.ts";

/** The tools that need nothing but a database. Writing is offered only where it is asked for. */
export function builtInTools(
  chosen: NonNullable<GatewayOptions["builtIn"]>,
  limits: GatewayLimits,
): Tool[] {
  const { query = true, describeTables = true, whoAmI = true, write = false } = chosen;
  return [
    ...(query ? [queryTool(limits)] : []),
    ...(describeTables ? [describeTablesTool()] : []),
    ...(whoAmI ? [whoAmITool()] : []),
    ...(write ? [writeTool(limits)] : []),
  ];
}
