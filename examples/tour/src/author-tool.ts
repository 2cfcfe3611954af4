import { sql } from "@behalf/core";
import { statementTool, type Tool } from "@behalf/gateway";
import { z } from "zod";

/** A tool whose SQL the gateway's author wrote: the agent chooses the number of days and nothing else. */
export const ordersByStatus: Tool = statementTool({
  name: "orders_by_status",
  description: "How many orders of the last days have which status",
  input: z.object({ days: z.int().min(1).max(730) }),
  statement: ({ days }) => sql`select status, count(*) as orders from orders
    where placed_at >= current_date - ${days}::integer group by status order by status`,
});
