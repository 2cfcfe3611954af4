import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Provider } from "oidc-provider";
import type { Directory } from "./openid-options.ts";

export const LOGIN_PATH = "/interaction/";

const MAX_BODY_BYTES = 4096;

/** The page of the browser flow on which a person says which of the known humans they are. */
export async function answerLogin(
  provider: Provider,
  directory: Directory,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const interaction = await provider.interactionDetails(request, response);
    if (request.method !== "POST") {
      const client = String(interaction.params["client_id"]);
      send(response, 200, loginPage(directory, client));
      return;
    }
    if (Number(request.headers["content-length"] ?? Infinity) > MAX_BODY_BYTES) {
      send(response, 413, "<p>The form is too large.</p>");
      return;
    }
    const human = directory.human(new URLSearchParams(await text(request)).get("sub"));
    const result =
      human === undefined
        ? { error: "access_denied", error_description: "unknown or revoked human" }
        : { login: { accountId: human.sub } };
    await provider.interactionFinished(request, response, result, {
      mergeWithLastSubmission: false,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    send(response, 400, `<p>This sign-in is not (or no longer) open: ${escape(message)}</p>`);
  }
}

function loginPage(directory: Directory, client: string): string {
  const buttons = directory
    .humans()
    .map(
      ({ sub, name }) =>
        `<p><button name="sub" value="${escape(sub)}">${escape(name ?? sub)} (${escape(sub)})</button></p>`,
    );
  return `<h1>Sign in to ${escape(client)}</h1>
<p>A provider for development: there are no passwords.</p>
<form method="post">
${buttons.join("\n")}
</form>`;
}

function send(response: ServerResponse, status: number, body: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "content-type": "text/html; charset=utf-8",
  });
  response.end(`<!doctype html><html lang="en"><title>Sign in</title>\n${body}\n</html>\n`);
}

export function escape(value: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return value.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}
