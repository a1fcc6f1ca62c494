/** How a peer stands, in a word and a colour; the same everywhere. */
import type { JSX } from "preact";
import { Badge, type Tone } from "../../parts/parts.tsx";
import type { LivePeerState } from "../../state/shapes.ts";

export type Standing =
  | "online"
  | "silent"
  | "offline"
  | "never"
  | "disabled"
  | "expired"
  | "used-up";

/** What counts most comes first: one without access is that, wherever its last packet is from. */
export function standingOf(
  { admission, presence, quota }: Pick<LivePeerState, "admission" | "presence" | "quota">,
): Standing {
  if (admission !== "admitted") return admission;
  if (quota !== null && quota.rate === null && quota.used >= quota.bytes) return "used-up";
  if (presence === "up") return "online";
  if (presence === "silent") return "silent";
  return presence === "never" ? "never" : "offline";
}

export const STANDING_TEXTS: Readonly<Record<Standing, string>> = {
  online: "Online",
  silent: "Silent",
  offline: "Offline",
  never: "Never seen",
  disabled: "Disabled",
  expired: "Expired",
  "used-up": "Quota used up",
};

const TONES: Readonly<Record<Standing, Tone>> = {
  online: "good",
  silent: "warn",
  offline: "plain",
  never: "plain",
  disabled: "plain",
  expired: "bad",
  "used-up": "bad",
};

export function StandingBadge({ standing }: { standing: Standing }): JSX.Element {
  return <Badge tone={TONES[standing]}>{STANDING_TEXTS[standing]}</Badge>;
}

export function StandingDot({ standing }: { standing: Standing }): JSX.Element {
  return <span class={`dot is-${TONES[standing]}`} title={STANDING_TEXTS[standing]} />;
}

/** Its name; of one without, the start of its key. */
export function nameOf({ name, publicKey }: Pick<LivePeerState, "name" | "publicKey">): string {
  return name ?? `${publicKey.slice(0, 12)}…`;
}

/** Its inner addresses, without the lengths of single ones. */
export function addressesOf({ allowedIps }: Pick<LivePeerState, "allowedIps">): string {
  return allowedIps.map((each) => each.replace(/\/(?:32|128)$/, "")).join(", ");
}

export const TRANSPORT_TEXTS: Readonly<Record<LivePeerState["transport"], string>> = {
  udp: "UDP",
  faketcp: "fake TCP",
};
