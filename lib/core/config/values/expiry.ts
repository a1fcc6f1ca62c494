/** Expiry: the moment at which a peer's access ends, as a file has it and as a person may give it. */
import type { Entry } from "../text/config_document.ts";
import { rejectValue } from "./values.ts";

/** RFC 3339 section 5.6, with a date alone besides. */
const MOMENT =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d))?$/;
const RULE = "a moment is a date, as in 2027-01-31, or has a time with its zone, as in " +
  "2027-01-31T18:00:00Z or 2027-01-31T18:00:00+01:00";
/** ms */
const DAY = 86_400_000;
/** ms */
const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: DAY,
  w: 7 * DAY,
};
/** ms; a hundred years, so that the sum with any clock can be written down. */
const LONGEST = 36_525 * DAY;

/** The first of January 1970, in days since the first of March of the year 0. */
const EPOCH = 719_468;
/** The year 10000, Unix ms. */
const FIRST_UNWRITABLE = 253_402_300_800_000;

/** When access is to end: at a moment, some time after it is given, or never. */
export type Expiry =
  /** Unix ms. */
  | { readonly kind: "at"; readonly time: number }
  /** ms. */
  | { readonly kind: "after"; readonly period: number }
  | { readonly kind: "never" };

/** The value of `Expires`, Unix ms. A date alone is its first moment in UTC, as for `useradd --expiredate`. */
export function parseExpires(entry: Entry): number {
  if (/^\d+[smhdw]$/i.test(entry.value)) {
    rejectValue(
      entry,
      "a period has no beginning in a file: give it to `vpn peer expire`, or give a date here",
    );
  }
  return momentOf(entry.value) ?? rejectValue(entry, RULE);
}

/** What a person may give: a moment, a period from now on, as in `30d`, or `never`. */
export function parseExpiry(entry: Entry): Expiry {
  const text = entry.value.toLowerCase();
  if (text === "never") return { kind: "never" };
  const [, count, unit] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  if (count !== undefined) {
    const period = Number(count) * UNITS[unit!]!;
    if (period > 0 && period <= LONGEST) return { kind: "after", period };
    rejectValue(entry, "a period is 1 s to 100 years");
  }
  const time = momentOf(entry.value);
  if (time !== null) return { kind: "at", time };
  return rejectValue(entry, `give "never", a period, as in 30d, 12h or 2w, or a moment: ${RULE}`);
}

/** The moment, Unix ms; null for never. */
export function expiryTime(expiry: Expiry, now: number): number | null {
  switch (expiry.kind) {
    case "at":
      return expiry.time;
    case "after":
      return now + expiry.period;
    case "never":
      return null;
  }
}

/** A moment as a file has it, in whole seconds and UTC. */
export function formatExpires(time: number): string {
  const { year, month, day } = dateOf(Math.floor(time / DAY));
  const second = Math.floor(time % DAY / 1_000);
  const clock = [second / 3_600, second / 60 % 60, second % 60];
  return `${digits(year, 4)}-${digits(month)}-${digits(day)}T${
    clock.map((part) => digits(Math.floor(part))).join(":")
  }Z`;
}

function digits(value: number, count = 2): string {
  return `${value}`.padStart(count, "0");
}

/** Null for what is none. There are no leap seconds in Unix time. */
function momentOf(text: string): number | null {
  const match = MOMENT.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) =>
    Number(part ?? 0)
  ) as Six;
  const days = dayOf(year, month, day);
  const date = dateOf(days);
  if (date.month !== month || date.day !== day) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  const [, sign, zoneHour = "0", zoneMinute = "0"] = /^([+-])(..):(..)$/.exec(match[7] ?? "") ?? [];
  const east = (sign === "-" ? -1 : 1) * (Number(zoneHour) * 60 + Number(zoneMinute));
  const time = days * DAY + ((hour * 60 + minute - east) * 60 + second) * 1_000;
  return time < 0 || time >= FIRST_UNWRITABLE ? null : time;
}

type Six = [number, number, number, number, number, number];

/** The number of a day since 1970 in the Gregorian calendar, whose cycle of 400 years has 146,097 days. */
export function dayOf(year: number, month: number, day: number): number {
  // Years that begin in March have the day that some of them lack at their end.
  const shifted = month > 2 ? year : year - 1;
  const monthsSinceMarch = (month + 9) % 12;
  const leapDays = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400);
  return shifted * 365 + leapDays + Math.floor((monthsSinceMarch * 153 + 2) / 5) + day - 1 - EPOCH;
}

/** The date of a day. */
export function dateOf(number: number): { year: number; month: number; day: number } {
  let year = Math.floor(number / 365.2425) + 1970;
  if (dayOf(year, 1, 1) > number) year--;
  else if (dayOf(year + 1, 1, 1) <= number) year++;
  let month = 12;
  while (dayOf(year, month, 1) > number) month--;
  return { year, month, day: number - dayOf(year, month, 1) + 1 };
}
