/** What an attack is after. docs/threat-model.md says what each means. */
export const CATEGORIES = [
  "identity",
  "role",
  "pool residue",
  "escape",
  "ddl",
  "monitoring",
  "side channel",
  "denial of service",
] as const;
export type Category = (typeof CATEGORIES)[number];

/** Categories of which nothing may break in a setting of Behalf's. */
export const CLOSED: readonly Category[] = ["identity", "role", "pool residue", "escape"];

/**
 * One hostile text, or several of one transaction. In it, `{{name}}` stands for what differs between the
 * settings: see `Names`.
 */
export type Attempt = string | readonly string[];

/** What the templates know. */
export interface Names {
  /** What the text runs as, and what it runs over. */
  readonly role: string;
  readonly login: string;
  /** The setting that the human's claims stand in, and a value of it that would be Alice. */
  readonly claims: string;
  readonly alice: string;
}

/**
 * What counts as a break, beside what counts for every case: Alice's secret in an answer, Alice's rows or
 * anything of the server's changed, a connection that the next user can tell from a new one.
 */
export type Break =
  /** An answer or an error that the attacker got matches. */
  | { readonly attackerSees: RegExp }
  /** An answer that the next user got matches. */
  | { readonly nextSees: RegExp }
  /** The whole is done twice, and the next user gets the same answer: somebody else chose it. */
  | { readonly nextRepeats: true }
  /** The attempt with this number did not fail. */
  | { readonly succeeds: number }
  /** The last two attempts differ only in a guess, and their outcomes differ: the guess was answered. */
  | { readonly outcomesDiffer: true }
  /** All attempts together lasted longer than this many milliseconds; the deadline is 400. */
  | { readonly lastsMs: number }
  /** The attacker got more than so many bytes. */
  | { readonly showsMoreThan: number }
  /** What another user of the server does meanwhile, as its superuser, fails or says true. */
  | { readonly bystander: string }
  /** Somebody who listens to the application's channel `app_events` was told something. */
  | { readonly isHeard: true }
  /** A superuser asks this afterwards, and the answer is true. */
  | { readonly serverSays: string };

/** One hostile case. */
export interface AttackCase {
  readonly id: string;
  /** What would be won. */
  readonly aim: string;
  /** By Bob, one after the other on one connection. */
  readonly attacker: readonly Attempt[];
  /** By Alice, who gets the connection next. */
  readonly next?: readonly string[];
  /** What Alice does on a connection of her own at the same time. */
  readonly victim?: string;
  readonly breaks?: readonly Break[];
  /** By a superuser, before and after. */
  readonly setup?: string;
  readonly cleanup?: string;
  /** Who attacks. Default is `bob`. */
  readonly human?: string;
  /** Why it is kept although it breaks nowhere: regressions of what only Behalf has. */
  readonly neverBroke?: string;
}

/** A case with its place in the corpus. */
export interface PlacedCase extends AttackCase {
  readonly category: Category;
}
