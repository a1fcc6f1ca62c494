/** What a tunnel has put on the host and keeps there: the form in which all of it is watched, see `upkeep.ts`. */

/** Something on the host that is to stay as it is. */
export interface Fixture {
  /** Whether no notification of the kernel tells of a change: it is then looked at from time to time. */
  readonly isPolled: boolean;
  /** What of it is lost, each in a few words; empty where all is in place. */
  missing(): readonly string[];
  /** Puts back what is missing. */
  putBack(): void;
}
