import { z } from "zod";

import { argumentsOf } from "./tool-arguments.ts";
import type { Tool } from "./tool.ts";

/** Asks the database who it thinks is calling. */
export function whoAmITool(): Tool {
  const input = z.object({});
  return {
    name: "whoami",
    title: "Who am I to the database",
    description:
      "Tells on whose behalf you act, as the database itself sees it: the human, the actors, and the database role that your statements run as.",
    access: "read",
    input,
    async call(args, { database, delegation, signal, deadlineMs }) {
      argumentsOf(input, args);
      const { name, subject, actors } = await database.run(
        delegation,
        (session) => session.whoAmI(),
        { signal, deadlineMs },
      );
      return { human: subject, actors, role: name };
    },
  };
}
