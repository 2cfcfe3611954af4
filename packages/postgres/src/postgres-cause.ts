/** What the server says beside the message that holds no value of a row. */
const FACTS = ["code", "severity", "schema", "table", "column", "constraint", "routine"] as const;

/** `pg`'s own words for a connection that is gone. */
const DRIVERS_WORDS =
  /^(?:Connection terminated(?: unexpectedly| due to connection timeout)?|timeout exceeded when trying to connect|Client has encountered a connection error and is not queryable|Client was closed and is not queryable)$/;

/**
 * A copy of what went wrong beneath, for whoever looks for the reason: the server's own message, or the
 * socket's, with its codes and the driver's stack. DETAIL, CONTEXT, the internal query and parameters are
 * left out, because they can hold values of rows, and so is whatever else the driver hung onto its error.
 *
 * @param isAnswer whether the server said it: an agent reads that message anyway
 */
export function cleanCause(error: unknown, isAnswer: boolean): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name } = error;
  const message = isAnswer || isOfTheConnection(error) ? error.message : "";
  const cause = Object.assign(new Error(message), isAnswer ? factsOf(error) : codeOf(error));
  // Not one of the own properties that a log shows twice.
  Object.defineProperty(cause, "name", { value: name, enumerable: false });
  // Frames alone: the head of a stack can be the message of another time.
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  cause.stack = [message === "" ? name : `${name}: ${message}`, ...frames].join("\n");
  return cause;
}

/** Everybody else's words may quote what they stumbled over: a value, a URL with its password. */
function isOfTheConnection(error: Error): boolean {
  const isSocket = "syscall" in error && "code" in error;
  return isSocket || DRIVERS_WORDS.test(error.message);
}

function factsOf(error: Error): { readonly [name: string]: string } {
  const facts = new Map<string, unknown>(Object.entries(error));
  return Object.fromEntries(
    FACTS.flatMap((name) => {
      const fact = facts.get(name);
      return typeof fact === "string" ? [[name, fact]] : [];
    }),
  );
}

function codeOf(error: Error): { readonly code?: string } {
  return "code" in error && typeof error.code === "string" ? { code: error.code } : {};
}
