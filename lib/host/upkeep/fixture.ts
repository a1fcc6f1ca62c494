/** What a tunnel has put on the host and keeps there: the form in which all of it is watched, see `upkeep.ts`. */

/** Something on the host that is to stay as it is. */
export interface Fixture {
  /** Whether no notification of the kernel tells of a change: it is then looked at from time to time. */
  readonly isPolled: boolean;
  /**
   * Whether what `PostUp` makes of it stays. Not of the firewall's tables: a command that loads the host's rules takes
   * ours along with all others.
   */
  readonly yieldsToPostUp: boolean;
  /** Whether what is missing of it may be the effect of another one's being lost, and then is none of its own. */
  readonly isOfOthers?: boolean;
  /** What of it is lost, each in a few words; empty where all is in place. */
  missing(): readonly string[];
  /**
   * Puts back all that it can: what cannot be keeps nothing else from it.
   *
   * @param lost what of it to put back, as `missing()` named it
   * @throws where something of it could not be put back
   */
  putBack(lost: readonly string[]): void;
}
