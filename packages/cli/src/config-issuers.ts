import type { ConfigProblem } from "./config-problem.ts";
import type { ConfigFile } from "./config-schema.ts";

/** An issuer as the file gives it: its URL, or an object with more. */
export function issuerOf(given: ConfigFile["identity"]["issuers"][number]): string {
  return typeof given === "string" ? given : given.issuer;
}

/** An exchange is with the issuer of the human's token, so every issuer would need one of its own. */
export function issuersProblems({ identity, exchange }: ConfigFile): readonly ConfigProblem[] {
  const issuers = identity.issuers.map(issuerOf);
  const problems: ConfigProblem[] = [];
  if (issuers.length > 1) {
    const message = `identity.issuers names ${issuers.length} issuers, and a gateway exchanges tokens of one; keep one, and run one gateway per issuer for now`;
    problems.push({ path: ["identity", "issuers", 1], message });
  }
  if (exchange.issuer !== undefined && !issuers.includes(exchange.issuer)) {
    const message =
      "exchange.issuer is none of identity.issuers, and no token of theirs could be exchanged; write it letter by letter as it stands there, or leave it out";
    problems.push({ path: ["exchange", "issuer"], message });
  }
  return problems;
}
