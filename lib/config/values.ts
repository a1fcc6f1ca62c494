/** Owns how the value of each kind of key is read: numbers, durations, choices, names, commands. */
import type { Entry } from "./config_document.ts";
import { ConfigError } from "./config_error.ts";
import { INTERFACE_NAME_RULE, isInterfaceName } from "./interface_name.ts";
import { decodeKey, keyProblem } from "./key_text.ts";
import { badValue } from "./section.ts";
import type { HookCommand, PortRange } from "./config.ts";

/** A key; no part of it is ever shown in the error. */
export function parseKey(entry: Entry): Uint8Array {
  const key = decodeKey(entry.value);
  if (key === null) {
    throw new ConfigError(
      `${entry.fileName}:${entry.line}: ${entry.key}: cannot use this value: ${
        keyProblem(entry.value)
      }`,
    );
  }
  return key;
}

/** A port or 0, for "let the kernel choose". */
export function parseListenPort(entry: Entry): number {
  return integer(entry.value, 0, 65535) ?? fail(entry, "a port is 1 to 65535");
}

/** `20000-29999`; the first may equal the last. */
export function parsePortRange(entry: Entry): PortRange {
  const rule = "a range of ports is FIRST-LAST, as in 20000-29999, within 1 to 65535";
  const [, firstText, lastText] = /^(\d+)\s*-\s*(\d+)$/.exec(entry.value) ?? fail(entry, rule);
  const first = integer(firstText!, 1, 65535) ?? fail(entry, rule);
  const last = integer(lastText!, first, 65535) ?? fail(entry, rule);
  return { first, last };
}

/** 65,535 is the longest IPv4 packet; 80 bytes are left for the outer headers, as wg-quick does. */
export function parseMtu(entry: Entry): number {
  return integer(entry.value, 576, 65455) ?? fail(entry, "an MTU is 576 to 65455");
}

export function parseTable(entry: Entry): "auto" | "off" | number {
  const value = entry.value.toLowerCase();
  if (value === "auto" || value === "off") return value;
  return integer(value, 1, 0xffffffff) ??
    fail(entry, 'a table is "auto", "off" or a number from 1 to 4294967295');
}

/** `off` is 0. */
export function parseFwMark(entry: Entry): number {
  if (entry.value.toLowerCase() === "off") return 0;
  return integer(entry.value, 0, 0xffffffff) ??
    fail(entry, 'a mark is "off" or a number up to 4294967295 or 0xffffffff');
}

/** Seconds; `off` is 0. */
export function parseKeepalive(entry: Entry): number {
  if (entry.value.toLowerCase() === "off") return 0;
  return integer(entry.value, 0, 65535) ??
    fail(entry, 'a keepalive interval is "off" or 1 to 65535 seconds');
}

/** Seconds, with a fraction if need be, as ms. */
export function secondsBetween(least: number, most: number): (entry: Entry) => number {
  return (entry) => {
    const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(entry.value) ? Number(entry.value) : NaN;
    if (seconds >= least && seconds <= most) return Math.round(seconds * 1000);
    throw badValue(entry, `a time is ${least} to ${most} seconds`);
  };
}

/** One of `choices`, in whatever capitals. */
export function oneOf<const Choice extends string>(
  ...choices: readonly Choice[]
): (entry: Entry) => Choice {
  return (entry) =>
    choices.find((choice) => choice === entry.value.toLowerCase()) ??
      fail(entry, `it is ${orList(choices)}`);
}

export function parseSwitch(entry: Entry): boolean {
  return oneOf("on", "off")(entry) === "on";
}

/** wg-quick's `SaveConfig`. */
export function parseBoolean(entry: Entry): boolean {
  return oneOf("true", "false")(entry) === "true";
}

export function parseInterfaceName(entry: Entry): string {
  return isInterfaceName(entry.value) ? entry.value : fail(entry, INTERFACE_NAME_RULE);
}

/** A shell command: the rest of the line as it stands. */
export function parseCommand(entry: Entry): readonly HookCommand[] {
  if (entry.value === "") fail(entry, "it is a shell command");
  return [{ command: entry.value, line: entry.line }];
}

/** A name that is a word on a command line. */
export function parsePeerName(entry: Entry): string {
  return /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,62}$/u.test(entry.value) ? entry.value : fail(
    entry,
    'a name is 1 to 63 letters, digits, ".", "_", "@", "+" and "-", a letter or digit first',
  );
}

/** Bits a second, as in `500k`, `10M` or `1.5G`, powers of 1,000; `off` is `null`. */
export function parseRateLimit(entry: Entry): number | null {
  if (entry.value.toLowerCase() === "off") return null;
  const rule = 'a rate is "off" or bits a second, as in 500k, 10M or 1G, from 1k to 1000G';
  const [, digits, unit] = /^(\d{1,12}(?:\.\d{1,9})?)\s*([kmg]?)$/i.exec(entry.value) ??
    fail(entry, rule);
  const factor = { "": 1, k: 1e3, m: 1e6, g: 1e9 }[unit!.toLowerCase()]!;
  const rate = Math.round(Number(digits) * factor);
  return rate >= 1e3 && rate <= 1e12 ? rate : fail(entry, rule);
}

/** The number, decimal or hexadecimal behind `0x`, if it is one and lies within the bounds. */
export function integer(text: string, least: number, most: number): number | undefined {
  if (!/^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** Throws the error for a value that breaks `rule`: an expression, for the right side of `??`. */
export function fail(entry: Entry, rule: string): never {
  throw badValue(entry, rule);
}

function orList(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}
