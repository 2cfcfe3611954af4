/** Deepest JSON that is looked at. Real tokens stay under 10; recursion over claims stays harmless. */
export const MAX_JSON_DEPTH = 64;

/**
 * What `JSON.parse` hides: members that stand twice in one object, and the depth. With a member twice
 * two readers of one signed token may see two humans (`JSON.parse` and `jsonb` take the last one,
 * others the first), so such a token is refused (RFC 7519, 4 allows it).
 *
 * @param text must be JSON that `JSON.parse` accepts
 */
export function inspectJson(text: string): { hasDuplicateMember: boolean; depth: number } {
  const colon = /\s*:/y;
  const open: (Set<string> | null)[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "{" || char === "[") {
      depth = Math.max(depth, open.push(char === "{" ? new Set() : null));
    } else if (char === "}" || char === "]") {
      open.pop();
    } else if (char === '"') {
      const end = endOfString(text, at);
      const members = open.at(-1);
      colon.lastIndex = end;
      if (members instanceof Set && colon.test(text)) {
        // Escapes are resolved: "s\u0075b" is "sub".
        const name = String(JSON.parse(text.slice(at, end)));
        if (members.has(name)) return { hasDuplicateMember: true, depth };
        members.add(name);
      }
      at = end - 1;
    }
  }
  return { hasDuplicateMember: false, depth };
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
