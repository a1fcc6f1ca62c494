/**
 * Shows how requests of WireGuard's configuration protocol are read, also hostile ones, and how answers are written.
 */
import {
  formatUapiDevice,
  formatUapiResult,
  parseUapiRequest,
  type UapiDeviceChange,
  UapiErrno,
  UapiError,
} from "../../../../lib/core/config/uapi.ts";
import { formatCidr, parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { parseCidr6 } from "../../../../lib/core/wire/ipv6_prefix.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { fuzz } from "../../../support/fuzz.ts";

const key = (number: number) => new Uint8Array(32).fill(number);
const hex = (number: number) => key(number).toHex();
const PEER = `public_key=${hex(1)}`;

function parseSet(...lines: string[]): UapiDeviceChange {
  const request = parseUapiRequest(["set=1", ...lines]);
  assert(request.kind === "set");
  return request.change;
}

Deno.test("parseUapiRequest() reads the request for a device's state", () => {
  assertEquals(parseUapiRequest(["get=1"]), { kind: "get" });
});

Deno.test("parseUapiRequest() reads all that can be set", () => {
  const change = parseSet(
    `private_key=${hex(9)}`,
    "listen_port=12912",
    "fwmark=4294967295",
    "replace_peers=true",
    PEER,
    "update_only=true",
    `preshared_key=${hex(2).toUpperCase()}`,
    "endpoint=192.0.2.1:51820",
    "persistent_keepalive_interval=65535",
    "replace_allowed_ips=true",
    "allowed_ip=10.1.2.3/16",
    "allowed_ip=-0.0.0.0/0",
    "allowed_ip=fd00::/64",
    "protocol_version=1",
    `public_key=${hex(3)}`,
    "remove=true",
  );
  const [first, second] = change.peers;
  assertEquals({ ...change, peers: [] }, {
    privateKey: key(9),
    listenPort: 12912,
    fwMark: 0xffff_ffff,
    replacePeers: true,
    peers: [],
  });
  assertEquals(first, {
    publicKey: key(1),
    remove: false,
    updateOnly: true,
    presharedKey: key(2),
    endpoint: { address: 0xc0000201, port: 51820 },
    persistentKeepalive: 65535,
    replaceAllowedIps: true,
    allowedIps: [
      { network: parseCidr("10.1.0.0/16")!, remove: false },
      { network: parseCidr("0.0.0.0/0")!, remove: true },
      { network: "fd00::/64", remove: false },
    ],
    ignoredIps: [],
  });
  assertEquals(second?.remove, true);
});

Deno.test("parseUapiRequest() takes zeros for no preshared key, and nothing for no mark", () => {
  assertEquals(parseSet(PEER, `preshared_key=${hex(0)}`).peers[0]!.presharedKey, null);
  assertEquals(parseSet("fwmark=").fwMark, 0);
  assertEquals(parseSet(), { replacePeers: false, peers: [] });
});

Deno.test("parseUapiRequest() refuses what the protocol does not have", () => {
  for (
    const lines of [
      [],
      [""],
      ["get=2"],
      ["get=1", "more=1"],
      ["GET=1"],
      ["set"],
      ["set=1", "listen_port"],
      ["set=1", "listen_port="],
      ["set=1", "listen_port=65536"],
      ["set=1", "listen_port=-1"],
      ["set=1", "listen_port=1e3"],
      ["set=1", "listen_port= 1"],
      ["set=1", "fwmark=4294967296"],
      ["set=1", "replace_peers=1"],
      ["set=1", "private_key="],
      ["set=1", `private_key=${hex(1)}0`],
      ["set=1", `private_key=${hex(1).slice(1)}g`],
      ["set=1", "allowed_ip=10.0.0.0/8"],
      ["set=1", "__proto__=true"],
      ["set=1", PEER, "allowed_ip=10.0.0.0/33"],
      ["set=1", PEER, "allowed_ip=10.0.0.0"],
      ["set=1", PEER, "allowed_ip=10.0.0/8"],
      ["set=1", PEER, "allowed_ip=--10.0.0.0/8"],
      ["set=1", PEER, "allowed_ip=g::/8"],
      ["set=1", PEER, "endpoint=192.0.2.1"],
      ["set=1", PEER, "endpoint=192.0.2.1:0"],
      ["set=1", PEER, "endpoint=vpn.example:1"],
      ["set=1", PEER, "remove=false"],
      ["set=1", PEER, "persistent_keepalive_interval=off"],
      ["set=1", PEER, "listen_port=1"],
    ]
  ) {
    const error = assertThrows(() => parseUapiRequest(lines), UapiError);
    assertEquals(error.errno, UapiErrno.invalid, lines.join(" "));
    // No error tells what a line held that could be a key.
    assert(!error.message.includes(hex(1)), error.message);
  }
});

Deno.test("parseUapiRequest() says by the error's number what is not carried", () => {
  const errnoOf = (...lines: string[]) => assertThrows(() => parseSet(...lines), UapiError).errno;
  assertEquals(errnoOf(PEER, "endpoint=[fe80::1%eth0]:51820"), UapiErrno.notSupported);
  assertEquals(errnoOf(PEER, "protocol_version=2"), UapiErrno.notSupported);
});

Deno.test("parseUapiRequest() passes over an endpoint with a zone among all that a file says of a peer, as wg syncconf sends it", () => {
  const { peers } = parseSet(
    PEER,
    "endpoint=[fe80::1%eth0]:51820",
    "replace_allowed_ips=true",
    "allowed_ip=10.0.0.0/8",
  );
  assertEquals(peers[0]!.endpoint, undefined);
  assertEquals(peers[0]!.ignoredIps, ["[fe80::1%eth0]:51820"]);
  assertEquals(peers[0]!.allowedIps.length, 1);
});

Deno.test("parseUapiRequest() takes any lines without another exception, and what it takes is in bounds", () => {
  const words = [
    ...["get", "set", "private_key", "listen_port", "fwmark", "replace_peers", "public_key"],
    ...["remove", "update_only", "preshared_key", "endpoint", "persistent_keepalive_interval"],
    ...["replace_allowed_ips", "allowed_ip", "protocol_version", "=", "=", "=", "1", "true", "-"],
    ...[hex(1), hex(0), "10.0.0.0/8", "::/0", "[::1]:1", "1.2.3.4:5", "\0", "é", "4294967296"],
  ];
  fuzz((random) => {
    const lines = Array.from(
      { length: random.below(6) },
      () =>
        Array.from({ length: random.below(4) }, () => words[random.below(words.length)]).join(""),
    );
    if (random.below(2) === 0) lines.unshift("set=1");
    if (random.below(2) === 0) lines.splice(1, 0, PEER);
    try {
      const request = parseUapiRequest(lines);
      if (request.kind === "get") return;
      const { listenPort = 0, peers } = request.change;
      assert(listenPort >= 0 && listenPort <= 65535);
      for (const { publicKey, allowedIps, endpoint } of peers) {
        assertEquals(publicKey.length, 32);
        assert(endpoint === undefined || endpoint.port > 0 && endpoint.port <= 65535);
        for (const { network } of allowedIps) {
          const known = typeof network === "string"
            ? parseCidr6(network)
            : parseCidr(formatCidr(network));
          assert(known !== null);
        }
      }
    } catch (error) {
      assert(error instanceof UapiError, String(error));
    }
  });
});

Deno.test("formatUapiDevice() writes what `wg` reads", () => {
  const text = formatUapiDevice({
    privateKey: key(9),
    listenPort: 51820,
    fwMark: 51820,
    peers: [
      {
        publicKey: key(1),
        presharedKey: key(2),
        endpoint: { address: 0xc0000201, port: 7 },
        lastHandshake: 1_790_000_000_123,
        sentBytes: 2 ** 40,
        receivedBytes: 1,
        persistentKeepalive: 25,
        allowedIps: [parseCidr("10.0.0.0/8")!, parseCidr("10.66.77.2/32")!],
        allowedIps6: ["fd00:77::2/128"],
      },
      {
        publicKey: key(3),
        presharedKey: null,
        endpoint: null,
        lastHandshake: 0,
        sentBytes: 0,
        receivedBytes: 0,
        persistentKeepalive: 0,
        allowedIps: [],
        allowedIps6: [],
      },
    ],
  });
  assertEquals(text.split("\n"), [
    `private_key=${hex(9)}`,
    "listen_port=51820",
    "fwmark=51820",
    `public_key=${hex(1)}`,
    `preshared_key=${hex(2)}`,
    "protocol_version=1",
    "endpoint=192.0.2.1:7",
    "last_handshake_time_sec=1790000000",
    "last_handshake_time_nsec=123000000",
    "tx_bytes=1099511627776",
    "rx_bytes=1",
    "persistent_keepalive_interval=25",
    "allowed_ip=10.0.0.0/8",
    "allowed_ip=10.66.77.2/32",
    "allowed_ip=fd00:77::2/128",
    `public_key=${hex(3)}`,
    `preshared_key=${hex(0)}`,
    "protocol_version=1",
    "last_handshake_time_sec=0",
    "last_handshake_time_nsec=0",
    "tx_bytes=0",
    "rx_bytes=0",
    "persistent_keepalive_interval=0",
    "errno=0",
    "",
    "",
  ]);
});

Deno.test("formatUapiResult() has errors below 0, as `wg` expects", () => {
  assertEquals(formatUapiResult(UapiErrno.ok), "errno=0\n\n");
  assertEquals(formatUapiResult(UapiErrno.invalid), "errno=-22\n\n");
});
