import { agentOf, type Agent, type ToolCall } from "./agent.ts";
import { alice, bob, carol, dave } from "./people.ts";
import type { Shop } from "./shop.ts";

/** The same agent, once for each human. */
export interface Agents {
  readonly alice: Agent;
  readonly bob: Agent;
  readonly carol: Agent;
  readonly dave: Agent;
}

/** @param onAlicesCall is told of every call of a tool before Alice's agent sends it */
export function agentsOf(shop: Shop, onAlicesCall: (call: ToolCall) => void): Agents {
  return {
    alice: agentOf(shop, alice, onAlicesCall),
    bob: agentOf(shop, bob),
    carol: agentOf(shop, carol),
    dave: agentOf(shop, dave),
  };
}
