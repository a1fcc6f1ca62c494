/** Shows which moments and periods may be given for the end of a peer's access, and what they mean. */
import {
  expiryTime,
  formatExpires,
  parseExpires,
  parseExpiry,
} from "../../../../../lib/core/config/values/expiry.ts";
import { BadValueError } from "../../../../../lib/core/config/config_error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../../../support/assert.ts";

const entry = (value: string) => ({ fileName: "a.conf", line: 7, key: "Expires", value });
const DAY = 86_400_000;

Deno.test("parseExpires() takes RFC 3339 with any zone, and a date as its first moment in UTC", () => {
  for (
    const [text, moment] of [
      ["2027-01-31T18:00:00Z", Date.UTC(2027, 0, 31, 18)],
      ["2027-01-31t18:00:00z", Date.UTC(2027, 0, 31, 18)],
      ["2027-01-31T18:00:00+05:30", Date.UTC(2027, 0, 31, 12, 30)],
      ["2027-01-31T18:00:00-08:00", Date.UTC(2027, 1, 1, 2)],
      ["2027-01-31", Date.UTC(2027, 0, 31)],
      ["2028-02-29", Date.UTC(2028, 1, 29)],
    ] as const
  ) {
    assertEquals(parseExpires(entry(text)), moment, text);
  }
});

Deno.test("parseExpires() refuses what is no moment, or is none by itself", () => {
  for (
    const text of [
      ...["", "never", "tomorrow", "2027-02-29", "2027-13-01", "2027-01-32", "31.1.2027"],
      ...["2027-01-31T18:00:00", "2027-01-31T24:00:00Z", "2027-01-31T23:59:60Z"],
      ...["2027-01-31T18:00:00+24:00", "9999-12-31T23:59:59-01:00", "1969-12-31", "2027-1-1"],
    ]
  ) {
    const error = assertThrows(() => parseExpires(entry(text)), BadValueError);
    assertStringIncludes(error.message, "a.conf:7: Expires: cannot use");
  }
  const { message } = assertThrows(() => parseExpires(entry("30d")), BadValueError);
  assertStringIncludes(message, "a period has no beginning in a file");
});

Deno.test("parseExpiry() takes periods, moments and never", () => {
  const now = Date.UTC(2026, 10, 28, 12);
  for (
    const [text, time] of [
      ["30d", now + 30 * DAY],
      ["2W", now + 14 * DAY],
      ["12h", now + DAY / 2],
      ["90m", now + DAY / 16],
      ["5s", now + 5_000],
      ["never", null],
      ["2027-01-31", Date.UTC(2027, 0, 31)],
    ] as const
  ) {
    assertEquals(expiryTime(parseExpiry(entry(text)), now), time, text);
  }
  for (const text of ["0d", "40000d", "-1d", "1.5d", "30 days", "1y"]) {
    assertThrows(() => parseExpiry(entry(text)), BadValueError);
  }
});

Deno.test("formatExpires() writes what parseExpires() reads, in whole seconds", () => {
  const time = Date.UTC(2027, 0, 31, 18, 5, 9);
  assertEquals(formatExpires(time + 999), "2027-01-31T18:05:09Z");
  assertEquals(parseExpires(entry(formatExpires(time))), time);
});

Deno.test("formatExpires() and parseExpires() agree with the runtime's calendar up to the year 9999", () => {
  const noon = DAY / 2;
  for (let time = noon; time < Date.UTC(9999, 11, 31); time += DAY * 97 + 3_661_000) {
    const text = formatExpires(time);
    assertEquals(text, new Date(time).toISOString().replace(/\.\d+/, ""));
    assertEquals(parseExpires(entry(text)), time);
  }
  for (
    const time of [0, Date.UTC(2000, 1, 29), Date.UTC(2100, 2, 1) - 1_000, 253_402_300_799_000]
  ) {
    assertEquals(formatExpires(time), new Date(time).toISOString().replace(/\.\d+/, ""));
  }
});
