/**
 * Longest subject, issuer or actor name, in UTF-16 units. OpenID Connect allows 255 for `sub`; SPIFFE
 * ids, which actors may carry, go up to 2,048 bytes and are in practice far shorter.
 */
export const MAX_NAME_LENGTH = 1024;

/**
 * Whether `value` can name a human or an actor in every backend. Control characters are out because
 * backends disagree on them (PostgreSQL's text cannot hold NUL, AWS session tags hold none), and two
 * names must never become one on the way.
 */
export function isIdentityName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= MAX_NAME_LENGTH &&
    value.isWellFormed() &&
    !/\p{Cc}/u.test(value)
  );
}
