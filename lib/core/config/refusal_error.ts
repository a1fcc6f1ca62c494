/** Refusal: why a question or a change of a gateway is not done, for a person and for a program. */

/** For a program; beside a message for a person. */
export type RefusalCode =
  /** There is no such peer, group or method. */
  | "not-found"
  /** Another has it: a name, a key, a network. */
  | "conflict"
  /** A parameter, or what would come of it, breaks a rule. */
  | "invalid"
  /** It is another than the caller's `revision` says: ask again. */
  | "revision"
  /** It may not be done this way, or by this caller. */
  | "refused"
  /** It cannot be done now: the configuration or the accounts cannot be written or read. */
  | "unavailable";

/** A message as it stands, with its code; nothing is changed. */
export class RefusalError extends Error {
  override readonly name = "RefusalError";
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
