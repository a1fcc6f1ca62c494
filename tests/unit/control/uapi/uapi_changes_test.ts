/** Shows what `wg set`, `wg setconf` and `wg syncconf` lead to. */
import type { LivePeer } from "../../../../lib/control/live_peers.ts";
import {
  liveChanges as liveChangesInSteps,
  refuseFixed,
} from "../../../../lib/control/uapi/uapi_changes.ts";
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import {
  parseUapiRequest,
  type UapiDeviceChange,
  UapiError,
} from "../../../../lib/core/config/uapi.ts";
import { formatCidr, parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";

const liveChanges = (
  wanted: UapiDeviceChange,
  before: Parameters<typeof liveChangesInSteps>[1],
  ownKey = key(8),
) => atOnce(liveChangesInSteps(wanted, before, ownKey));
const key = (number: number) => new Uint8Array(32).fill(number);
const hex = (number: number) => key(number).toHex();
const FIXED = { privateKey: key(9), port: 51820, mark: 77 };
const LAPTOP: LivePeer = {
  nextKey: null,
  allow: [{ target: { kind: "internet" }, services: [] }],
  deny: [{ target: { kind: "peer", name: "printer" }, services: [] }],
  publicKey: key(1),
  presharedKey: key(4),
  allowedIps: [parseCidr("10.0.0.1/32")!, parseCidr("10.1.0.0/16")!],
  allowedIps6: [],
  endpoint: { host: "vpn.example", address: 0xc0000201, port: 7 },
  persistentKeepalive: 25,
  name: "laptop",
  rateLimit: 1000,
  quota: { bytes: 1e9, period: "day" },
  quotaRate: 2000,
  groups: ["staff"],
  isEnabled: false,
  expires: 1_800_000_000_000,
};
const PHONE: LivePeer = {
  ...LAPTOP,
  publicKey: key(2),
  allowedIps: [],
  allowedIps6: [],
  name: "phone",
};
const BEFORE = new Map([LAPTOP, PHONE].map((peer) => [encodeKey(peer.publicKey), peer]));

function change(...lines: string[]): UapiDeviceChange {
  const request = parseUapiRequest(["set=1", ...lines]);
  assert(request.kind === "set");
  return request.change;
}

/** As `1 +`, `2 -`, the first byte of the key and what becomes of the peer. */
function summary(...lines: string[]): string[] {
  return liveChanges(change(...lines), BEFORE).map((each) =>
    each.kind === "put"
      ? `${each.peer.publicKey[0]} ${each.peer.allowedIps.map(formatCidr).join(" ")}`
      : `${each.publicKey[0]} -`
  );
}

Deno.test("liveChanges() leaves what is not named as it is, and the peer where it is", () => {
  const [put] = liveChanges(
    change(`public_key=${hex(1)}`, "persistent_keepalive_interval=0"),
    BEFORE,
  );
  assertEquals(put, { kind: "put", peer: { ...LAPTOP, persistentKeepalive: 0, endpoint: null } });
});

Deno.test("liveChanges() takes the endpoint and the preshared key that it is given", () => {
  const [put] = liveChanges(
    change(`public_key=${hex(1)}`, "endpoint=192.0.2.9:5", `preshared_key=${hex(0)}`),
    BEFORE,
  );
  assert(put?.kind === "put");
  assertEquals(put.peer.presharedKey, null);
  assertEquals(put.peer.endpoint, { host: "", address: 0xc0000209, port: 5 });
});

Deno.test("liveChanges() adds, replaces and takes networks of IPv6, too", () => {
  const laptop = { ...LAPTOP, allowedIps: [], allowedIps6: ["fd00:1::/64"] };
  const before = new Map([laptop, PHONE].map((peer) => [encodeKey(peer.publicKey), peer]));
  const networks = (...lines: string[]) =>
    liveChanges(change(...lines), before).map((each) =>
      each.kind === "put" ? each.peer.allowedIps6 : null
    );
  const [one, two] = [1, 2].map((number) => `public_key=${hex(number)}`) as [string, string];
  assertEquals(networks(one, "allowed_ip=FD00:0::9/64"), [["fd00:1::/64", "fd00::/64"]]);
  assertEquals(networks(one, "replace_allowed_ips=true", "allowed_ip=fd00::2/128"), [
    ["fd00::2/128"],
  ]);
  assertEquals(networks(one, "allowed_ip=-fd00:1::/64"), [[]]);
  // Who is given it last has it.
  assertEquals(networks(two, "allowed_ip=fd00:1::/64", one), [["fd00:1::/64"], []]);
});

Deno.test("liveChanges() adds networks, replaces them, and takes single ones away", () => {
  const laptop = `public_key=${hex(1)}`;
  assertEquals(summary(laptop, "allowed_ip=10.2.3.4/16"), [
    "1 10.0.0.1/32 10.1.0.0/16 10.2.0.0/16",
  ]);
  assertEquals(summary(laptop, "replace_allowed_ips=true", "allowed_ip=10.2.0.0/16"), [
    "1 10.2.0.0/16",
  ]);
  assertEquals(summary(laptop, "allowed_ip=-10.1.0.0/16", "allowed_ip=-10.7.0.0/16"), [
    "1 10.0.0.1/32",
  ]);
  assertEquals(summary(laptop, "replace_allowed_ips=true"), ["1 "]);
});

Deno.test("liveChanges() passes over the device's own key, whatever is said of it", () => {
  const own = [`public_key=${hex(8)}`, "allowed_ip=10.0.0.1/32", `public_key=${hex(8)}`];
  assertEquals(summary(...own, "remove=true"), []);
  // What it would have been given stays with the peer that has it.
  assertEquals(summary(...own, `public_key=${hex(1)}`), ["1 10.0.0.1/32 10.1.0.0/16"]);
});

Deno.test("liveChanges() removes a peer, and does nothing to one that is only to be updated and is not there", () => {
  assertEquals(summary(`public_key=${hex(1)}`, "remove=true"), ["1 -"]);
  assertEquals(summary(`public_key=${hex(3)}`, "update_only=true", "allowed_ip=10.3.0.0/16"), []);
  assertEquals(summary(`public_key=${hex(3)}`, "allowed_ip=10.3.0.0/16"), ["3 10.3.0.0/16"]);
});

Deno.test("liveChanges() replaces all peers, those named again beginning with nothing but their name", () => {
  const lines = ["replace_peers=true", `public_key=${hex(1)}`, "allowed_ip=10.3.0.0/16"];
  assertEquals(summary(...lines), ["2 -", "1 10.3.0.0/16"]);
  const put = liveChanges(change(...lines), BEFORE)[1];
  assert(put?.kind === "put");
  assertEquals([put.peer.presharedKey, put.peer.persistentKeepalive], [null, 0]);
  assertEquals([put.peer.name, put.peer.rateLimit], ["laptop", 1000]);
});

Deno.test("liveChanges() makes one change of several mentions of a peer, in their order", () => {
  const [laptop, phone] = [`public_key=${hex(1)}`, `public_key=${hex(2)}`];
  assertEquals(summary(laptop, "allowed_ip=10.2.0.0/16", laptop, "allowed_ip=-10.0.0.1/32"), [
    "1 10.1.0.0/16 10.2.0.0/16",
  ]);
  assertEquals(summary(laptop, "remove=true", laptop, "update_only=true"), ["1 -"]);
  assertEquals(summary(laptop, "remove=true", laptop, "allowed_ip=10.9.0.0/16"), [
    "1 -",
    "1 10.9.0.0/16",
  ]);
  // A network that another was given since does not come back.
  assertEquals(summary(phone, "allowed_ip=10.1.0.0/16", laptop, "allowed_ip=10.3.0.0/16"), [
    "2 10.1.0.0/16",
    "1 10.0.0.1/32 10.3.0.0/16",
  ]);
});

Deno.test("liveChanges() reads each network once, however often its peer is named", () => {
  const lines = Array.from({ length: 20_000 }, (_, i) => [
    `public_key=${hex(1)}`,
    `allowed_ip=10.${100 + (i >> 16)}.${i >> 8 & 255}.${i & 255}/32`,
  ]);
  const [put, ...others] = liveChanges(change(...lines.flat()), BEFORE);
  assert(put?.kind === "put");
  assertEquals([put.peer.allowedIps.length, others.length], [20_002, 0]);
});

Deno.test("refuseFixed() lets pass what the interface has anyway, and zeros for what a file leaves out", () => {
  refuseFixed(change(), FIXED);
  refuseFixed(change(`private_key=${hex(9)}`, "listen_port=51820", "fwmark=77"), FIXED);
  refuseFixed(change(`private_key=${"0".repeat(64)}`, "listen_port=0", "fwmark=0"), FIXED);
  for (
    const line of [`private_key=${hex(8)}`, "listen_port=7", "fwmark=1"]
  ) {
    const { errno } = assertThrows(() => refuseFixed(change(line), FIXED), UapiError);
    assertEquals(errno, 95, line);
  }
});
