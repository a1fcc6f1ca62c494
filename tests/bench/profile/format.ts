/** Format: the profile as text. */
import { formatNumber, formatTable } from "../table.ts";
import type { EndProfile, Profile } from "./profile.ts";

/** The profile as tables. */
export function formatProfile({ method, sender, receiver }: Profile): string {
  const parts = [
    `Where the time of one megabyte goes (vpn, one TCP stream, us of processor time; ${method})\n`,
    formatTimes(sender, receiver),
  ];
  if (sender.systemCalls !== null && receiver.systemCalls !== null) {
    parts.push(formatCalls(sender.systemCalls, receiver.systemCalls));
  }
  for (const [title, { functions }] of Object.entries({ sender, receiver })) {
    if (functions.length === 0) continue;
    const rows = functions.map(({ name, time }) => [name, formatNumber(time, 0)]);
    parts.push(formatTable([[`busiest at the ${title}`, "us/MB"], ...rows], ["left", "right"]));
  }
  return parts.join("\n");
}

function formatTimes(sender: EndProfile, receiver: EndProfile): string {
  const row = (name: string, value: (end: EndProfile) => number) => [
    name,
    ...[sender, receiver].flatMap((end) => {
      const total = end.userTime + end.systemTime;
      return [formatNumber(value(end), 0), `${formatNumber(100 * value(end) / total, 0)} %`];
    }),
  ];
  const activities = Object.keys(sender.activities ?? {})
    .map((name) => row(name, (end) => end.activities?.[name] ?? 0));
  return formatTable([
    ["", "sender", "", "receiver", ""],
    ...activities,
    ...sender.kernelCopies === null
      ? []
      : [row("(copying, within the system calls)", (end) => end.kernelCopies ?? 0)],
    row("user time", (end) => end.userTime),
    row("system time", (end) => end.systemTime),
    row("together", (end) => end.userTime + end.systemTime),
  ], ["left", "right", "right", "right", "right"]);
}

function formatCalls(
  sender: Readonly<Record<string, number>>,
  receiver: Readonly<Record<string, number>>,
): string {
  const rows = Object.keys(sender).map((name) => [
    name,
    formatNumber(sender[name], 1),
    formatNumber(receiver[name] ?? 0, 1),
  ]);
  return formatTable([["system calls for a megabyte", "sender", "receiver"], ...rows], [
    "left",
    "right",
    "right",
  ]);
}
