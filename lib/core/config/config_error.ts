/** Configuration error: the exception that an unusable configuration becomes, and how values are quoted in it. */

/**
 * A configuration that cannot be used (exit code 2). The message is one line that begins with the file's name,
 * as in `server.conf:7: ListenPort: cannot use "70000": a port is 1 to 65535`.
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** A value that breaks its key's rule. */
export class BadValueError extends ConfigError {
  /** The value and the rule, without the place: for a value that stands in no file. */
  readonly problem: string;

  /** @param place file, line and key */
  constructor(place: string, problem: string) {
    super(`${place}: ${problem}`);
    this.problem = problem;
  }
}

/**
 * `text` in double quotes on one line, cut to a readable length. Anything that could be a key, or a good part of
 * one, is left out: a key pasted behind the wrong name must not end up in a log.
 */
export function quoted(text: string): string {
  if (/[A-Za-z0-9+/]{32}/.test(text)) return "this value (not shown, it may hold a key)";
  const short = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
