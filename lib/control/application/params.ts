/** Parameters of the application's methods: their reading, and who it is that asks. */
import { RefusalError } from "../../core/config/refusal_error.ts";
import { userName } from "../../process/user_name.ts";
import { type Caller, isObject, type Params } from "../protocol.ts";

/** Characters of a name that the console gives for who asks. */
const MAX_ACTOR = 64;

/** @throws {RefusalError} where it is missing, or no text */
export function textParam(params: Params, name: string): string {
  const value = params[name];
  if (typeof value !== "string") throw notA(name, "text");
  return value;
}

/** The same of one that may be left out. @throws {RefusalError} */
export function optionalText(params: Params, name: string): string | undefined {
  return params[name] === undefined ? undefined : textParam(params, name);
}

/** @throws {RefusalError} for what is no list of texts, or an empty one */
export function textsParam(params: Params, name: string): readonly string[] {
  const value = params[name];
  const isList = Array.isArray(value) && value.length > 0;
  if (!isList || !value.every((each) => typeof each === "string")) throw notA(name, "a list");
  return value;
}

/** A whole number from 0 on; the default where it is left out. @throws {RefusalError} */
export function numberParam(params: Params, name: string, otherwise: number): number {
  const { [name]: value = otherwise } = params;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw notA(name, "a number");
}

/** @throws {RefusalError} */
export function switchParam(params: Params, name: string, otherwise: boolean): boolean {
  const { [name]: value = otherwise } = params;
  if (typeof value === "boolean") return value;
  throw notA(name, "true or false");
}

/** Keys and their values, null for a key to be taken out; none where it is left out. @throws {RefusalError} */
export function keysParam(
  params: Params,
  name: string,
  known: readonly string[],
): Readonly<Record<string, string | null>> {
  const { [name]: value = {} } = params;
  if (!isObject(value)) throw notA(name, "an object");
  for (const [key, text] of Object.entries(value)) {
    if (!known.includes(key)) {
      throw new RefusalError(
        "invalid",
        `${name}: there is no key ${JSON.stringify(key.slice(0, 40))}`,
      );
    }
    if (text !== null && typeof text !== "string") throw notA(key, "text");
    // What a file would have on another line, or as a comment.
    if (text !== null && /[\r\n#]/.test(text)) {
      throw new RefusalError("invalid", `${key}: a value is one line, without "#"`);
    }
  }
  return value as Readonly<Record<string, string | null>>;
}

function notA(name: string, what: string): RefusalError {
  return new RefusalError("invalid", `Cannot read ${name}: it is not ${what}`);
}

/** Who asks, as a person reads it: `root`, or `alice (console)`. @throws {RefusalError} */
export function actorOf({ user, isConsole }: Caller, params: Params): string {
  if (!isConsole) return userName(user);
  const name = optionalText(params, "by") ?? "nobody";
  if (name.length > MAX_ACTOR || !/^[\p{L}\p{N}\p{P}\p{S} ]+$/u.test(name)) {
    throw notA("by", `a name of 1 to ${MAX_ACTOR} printable characters`);
  }
  return `${name} (console)`;
}
