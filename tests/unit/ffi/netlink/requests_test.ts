/**
 * Tests of the requests that `ffi/netlink/` makes, byte by byte. What is expected was taken with strace from iproute2
 * 6.1 doing the same; where ours differ on purpose the line says so.
 */
import { Addresses } from "../../../../ffi/netlink/addresses.ts";
import { defaultPrefix, parseIp, parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { Links } from "../../../../ffi/netlink/links.ts";
import { type MessageBuilder, NLM_F_ACK, NLM_F_REQUEST } from "../../../../ffi/netlink/message.ts";
import { Routes, RouteType } from "../../../../ffi/netlink/routes.ts";
import { Rules } from "../../../../ffi/netlink/rules.ts";
import type { RequestChannel } from "../../../../ffi/netlink/socket.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { hex } from "../../../support/packets/packet_builder.ts";

/** The one request that `call` makes; sent with the sequence number 0x6b01182b. */
function requestOf(call: (channel: RequestChannel) => void): Uint8Array {
  const requests: MessageBuilder[] = [];
  call({
    request(message) {
      requests.push(message);
      return [];
    },
    dump(message) {
      requests.push(message);
      return [];
    },
  });
  assertEquals(requests.length, 1);
  return requests[0].finish(0x6b01182b, NLM_F_REQUEST | NLM_F_ACK);
}

Deno.test("createVeth() asks as `ip link add a0 type veth peer name a1`", () => {
  const request = requestOf((channel) => new Links(channel).createVeth("a0", { name: "a1" }));
  assertEquals<Uint8Array>(
    request,
    hex(`
      58000000 1000 0506 2b18016b 00000000  00000000 00000000 00000000 00000000
      0700 0300 61300000
      3000 1280             # ip omits NLA_F_NESTED here and below
        0900 0100 76657468 00000000 # ip omits the NUL
        2000 0280
          1c00 0180 00000000 00000000 00000000 00000000  0700 0300 61310000
    `.replaceAll(/#.*$/gm, "")),
  );
});

Deno.test("createVeth() names the peer's namespace in the peer's part", () => {
  const request = requestOf((channel) =>
    new Links(channel).createVeth("a0", { name: "a1", namespace: 17 })
  );
  assertEquals<Uint8Array>(request.slice(-16), hex("0700 0300 61310000 0800 1c00 11000000"));
});

Deno.test("configure() asks as `ip link set dev v0 mtu 1420 txqueuelen 1000 up`", () => {
  const request = requestOf((channel) =>
    new Links(channel).configure(3, { up: true, mtu: 1420, txQueueLength: 1000 })
  );
  assertEquals<Uint8Array>(
    request,
    hex(`
      30000000 1000 0500 2b18016b 00000000  00000000 03000000 01000000 01000000
      0800 0400 8c050000  0800 0d00 e8030000`),
  );
});

Deno.test("configure() leaves what is not given out of the request", () => {
  const request = requestOf((channel) => new Links(channel).configure("v0", { up: false }));
  assertEquals<Uint8Array>(
    request,
    hex(`
      28000000 1000 0500 2b18016b 00000000  00000000 00000000 00000000 01000000
      0700 0300 76300000`),
  );
});

Deno.test("delete() asks as `ip link del dev a0`", () => {
  assertEquals<Uint8Array>(
    requestOf((channel) => new Links(channel).delete(5)),
    hex("20000000 1100 0500 2b18016b 00000000 00000000 05000000 00000000 00000000"),
  );
});

Deno.test("add() of an address asks as `ip addr add 10.66.77.2/24 dev v0`", () => {
  const spec = { address: parseIp("10.66.77.2"), prefixLength: 24 };
  assertEquals<Uint8Array>(
    requestOf((channel) => new Addresses(channel).add(3, spec)),
    hex(`
      28000000 1400 0506 2b18016b 00000000  02180000 03000000
      0800 0200 0a424d02  0800 0100 0a424d02`),
  );
});

Deno.test("add() of an address asks as `ip addr add 10.66.77.2 peer 10.66.77.1/32 dev v0`", () => {
  const spec = { address: parseIp("10.66.77.2"), prefixLength: 32, peer: parseIp("10.66.77.1") };
  assertEquals<Uint8Array>(
    requestOf((channel) => new Addresses(channel).add(3, spec)),
    hex(`
      28000000 1400 0506 2b18016b 00000000  02200000 03000000
      0800 0200 0a424d02  0800 0100 0a424d01`),
  );
});

Deno.test("replace() and delete() of an address differ from add() in type and flags alone", () => {
  const spec = { address: parseIp("fd00::2"), prefixLength: 64 };
  const body = `0a400000 03000000
    1400 0200 fd000000000000000000000000000002  1400 0100 fd000000000000000000000000000002`;
  const expected = (typeAndFlags: string) =>
    hex(`40000000 ${typeAndFlags} 2b18016b 00000000 ${body}`);
  const request = (call: (addresses: Addresses) => void) =>
    requestOf((channel) => call(new Addresses(channel)));
  assertEquals<Uint8Array>(request((a) => a.add(3, spec)), expected("1400 0506"));
  assertEquals<Uint8Array>(request((a) => a.replace(3, spec)), expected("1400 0505"));
  assertEquals<Uint8Array>(request((a) => a.delete(3, spec)), expected("1500 0500"));
});

Deno.test("add() of a route asks as `ip route add 10.8.0.0/16 via 10.66.77.1 dev v0 table 51820 mtu 1400 metric 5`", () => {
  const request = requestOf((channel) =>
    new Routes(channel).add({
      destination: parsePrefix("10.8.0.0/16"),
      gateway: parseIp("10.66.77.1"),
      link: 3,
      table: 51820,
      mtu: 1400,
      metric: 5,
    })
  );
  assertEquals<Uint8Array>(
    request,
    hex(`
      50000000 1800 0506 2b18016b 00000000  02100000 00030001 00000000
      0800 0100 0a080000  0800 0500 0a424d01  0800 0f00 6cca0000
      0800 0600 05000000  0800 0400 03000000
      0c00 0880 0800 0200 78050000 # ip omits NLA_F_NESTED
    `.replaceAll(/#.*$/gm, "")),
  );
});

Deno.test("add() of a route asks as `ip -6 route add unreachable default table 51820`", () => {
  const request = requestOf((channel) =>
    new Routes(channel).add({
      destination: defaultPrefix(AF_INET6),
      type: RouteType.unreachable,
      table: 51820,
    })
  );
  assertEquals<Uint8Array>(
    request,
    hex(`
      38000000 1800 0506 2b18016b 00000000  0a000000 00030007 00000000
      1400 0100 00000000000000000000000000000000  0800 0f00 6cca0000`),
  );
});

Deno.test("delete() of a route asks as `ip route del 10.8.0.0/16 table 51820`", () => {
  const spec = { destination: parsePrefix("10.8.0.0/16"), table: 51820 };
  assertEquals<Uint8Array>(
    requestOf((channel) => new Routes(channel).delete(spec)),
    hex(`
      2c000000 1900 0500 2b18016b 00000000  02100000 0000ff00 00000000
      0800 0100 0a080000  0800 0f00 6cca0000`),
  );
});

Deno.test("lookup() asks as `ip route get 10.66.77.1 mark 7`, and throws when no route answers", () => {
  const request = requestOf((channel) => {
    assertThrows(
      () => new Routes(channel).lookup(parseIp("10.66.77.1"), { mark: 7 }),
      Error,
      "the kernel's answer has no route",
    );
  });
  assertEquals<Uint8Array>(
    request,
    hex(`
      2c000000 1a00 0500 2b18016b 00000000  02200000 00000000 00100000
      0800 0100 0a424d01  0800 1000 07000000`),
  );
});

Deno.test("add() of a rule asks as `ip rule add not fwmark 51820/0xffffffff table 51820`", () => {
  const spec = { family: AF_INET, table: 51820, mark: { value: 51820 }, inverted: true } as const;
  assertEquals<Uint8Array>(
    requestOf((channel) => new Rules(channel).add(spec)),
    hex(`
      34000000 2000 0506 2b18016b 00000000  02000000 00000001 02000000
      0800 0a00 6cca0000  0800 1000 ffffffff  0800 0f00 6cca0000`),
  );
});

Deno.test("add() of a rule asks as `ip -6 rule add table main suppress_prefixlength 0 pref 100`", () => {
  const spec = { family: AF_INET6, table: 254, suppressPrefixLength: 0, priority: 100 } as const;
  assertEquals<Uint8Array>(
    requestOf((channel) => new Rules(channel).add(spec)),
    hex(`
      2c000000 2000 0506 2b18016b 00000000  0a000000 fe000001 00000000
      0800 0e00 00000000  0800 0600 64000000`),
  );
});
