import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { bearer, type Bearer } from "./bearer.ts";
import type { Person } from "./people.ts";
import type { Shop } from "./shop.ts";
import { principalOf, toolAnswer, type Principal, type ToolAnswer } from "./tool-answer.ts";

/** The revision of MCP that is spoken. */
export const REVISION = "2026-07-28";

/** One call of a tool, as the agent makes it. */
export interface ToolCall {
  readonly tool: string;
  /** The agent's own text, where the tool takes one. */
  readonly sql?: string;
}

/** An AI agent that works for one human: an MCP client that holds the human's token for the gateway and nothing else. */
export interface Agent {
  readonly person: Person;
  /** One SELECT of the agent's own. */
  query(sql: string, options?: QueryOptions): Promise<ToolAnswer>;
  /** One INSERT, UPDATE, DELETE or MERGE of the agent's own. */
  write(sql: string): Promise<ToolAnswer>;
  /** A tool of the gateway's author. */
  call(tool: string, args: Readonly<Record<string, unknown>>): Promise<ToolAnswer>;
  whoAmI(): Promise<Principal>;
  /** The names of the tools that the gateway offers. */
  tools(): Promise<string[]>;
  /** The same agent with the same token, before another gateway. Nobody is told of its calls. */
  at(url: URL): Agent;
}

interface QueryOptions {
  /** Default is the gateway's. */
  readonly maxRows?: number;
  readonly signal?: AbortSignal;
}

/** @param onCall is told of every call of a tool before it is sent */
export function agentOf(
  shop: Shop,
  person: Person,
  onCall: (call: ToolCall) => void = () => {},
): Agent {
  return agentWith(
    bearer(() => shop.signIn(person.subject)),
    shop.gateway.url,
    { shop, person, onCall },
  );
}

function agentWith(
  held: Bearer,
  url: URL,
  {
    shop,
    person,
    onCall,
  }: {
    readonly shop: Shop;
    readonly person: Person;
    readonly onCall: (call: ToolCall) => void;
  },
): Agent {
  let connected: Promise<Client> | undefined;

  async function connect(): Promise<Client> {
    const client = new Client(
      { name: "assistant", version: "1" },
      { versionNegotiation: { mode: { pin: REVISION } } },
    );
    shop.atEnd(() => client.close());
    const authProvider = { token: () => held.token(), onUnauthorized: () => held.renew() };
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider }));
    return client;
  }

  async function send(name: string, args: Readonly<Record<string, unknown>>, signal?: AbortSignal) {
    const client = await (connected ??= connect());
    return client.callTool(
      { name, arguments: { ...args } },
      signal === undefined ? {} : { signal },
    );
  }

  return {
    person,
    async query(sql, { maxRows, signal } = {}) {
      onCall({ tool: "query", sql });
      const limit = maxRows === undefined ? {} : { max_rows: maxRows };
      return toolAnswer(await send("query", { sql, ...limit }, signal));
    },
    async write(sql) {
      onCall({ tool: "write", sql });
      return toolAnswer(await send("write", { sql }));
    },
    async call(tool, args) {
      onCall({ tool });
      return toolAnswer(await send(tool, args));
    },
    async whoAmI() {
      onCall({ tool: "whoami" });
      return principalOf(await send("whoami", {}));
    },
    async tools() {
      const client = await (connected ??= connect());
      return (await client.listTools()).tools.map(({ name }) => name);
    },
    at: (other) => agentWith(held, other, { shop, person, onCall: () => {} }),
  };
}
