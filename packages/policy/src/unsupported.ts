/** Something that cannot be in a policy that Cedar's strict validator has accepted. */
export function unvalidated(what: string): TypeError {
  return new TypeError(`${what}: Cedar's validator lets nothing like it through`);
}

/** Why a policy has no native form. Ends the lowering of one policy. */
export class Unsupported extends Error {
  override readonly name: string = "Unsupported";
  /** A name or sign of the policy's text that shows where it is. */
  readonly near: string | undefined;
  readonly help: string;

  constructor(message: string, help: string, near?: string) {
    super(message);
    this.help = help;
    this.near = near;
  }
}
