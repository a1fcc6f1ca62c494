/**
 * Tests of the requests that `ffi/netlink/nftables*.ts` make, byte by byte. What is expected was taken with strace from
 * nft 1.0.6 adding the same; the order of a chain's attributes is our own, and `bitwise` names its default operation
 * there.
 */
import {
  EAGAIN,
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
} from "../../../../../ffi/errno.ts";
import type { Libc } from "../../../../../ffi/libc.ts";
import { NoNftablesError } from "../../../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../../../ffi/netlink/nftables/nftables.ts";
import { xtablesQueue } from "../../../../../ffi/netlink/nftables/nftables_expressions.ts";
import { MessageBuilder, NLMSGHDR } from "../../../../../ffi/netlink/message.ts";
import { NetlinkError } from "../../../../../ffi/netlink/socket.ts";
import { exitCodeOf } from "../../../../../lib/process/errors.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../../../support/assert.ts";
import { hex } from "../../../../support/packets/packet_builder.ts";
import { message, ScriptedKernel, together } from "../../../../support/packets/scripted_kernel.ts";
import {
  installIngressDrop,
  installNotrack,
} from "../../../../../lib/host/firewall/gateway_tables.ts";
import {
  acknowledge,
  answer,
  DROP,
  ERROR,
  NO_TABLES,
  open,
  PROBE_REQUESTS,
  split,
} from "../../../../support/packets/nftables_kernel.ts";

Deno.test("installIngressDrop() asks in one batch, as `nft add table; add chain; add rule`", () => {
  const kernel = new ScriptedKernel(acknowledge(PROBE_REQUESTS), NO_TABLES, acknowledge(3));
  installIngressDrop(open(kernel), DROP);
  assert(kernel.finished);
  const messages = split(kernel.requests[2]!);
  const sequence = NLMSGHDR.read(messages[0]!, 0).sequence;
  for (const [index, message] of messages.entries()) {
    assertEquals(NLMSGHDR.read(message, 0).sequence, sequence + index);
    message.fill(0, NLMSGHDR.offsets.sequence, NLMSGHDR.offsets.sequence + 4);
  }
  const expected = [
    `14000000 1000 0100 00000000 00000000  0000 000a`,
    // NLM_F_EXCL: what is there is not ours; flags 2 is `owner`; the user data is a comment, "made by vpn".
    `38000000 000a 0506 00000000 00000000  05000000  0600 0100 7400 0000  0800 0200 00000002
       1200 0600 000c 6d6164652062792076706e00 0000`,
    `58000000 030a 0506 00000000 00000000  05000000
       0600 0100 7400 0000  0c00 0300 696e677265737300
       1c00 0480  0800 0100 00000000  0800 0200 00000000  0700 0300 763000 00
       0800 0500 00000001  0b00 0700 66696c74657200 00`,
    `8c020000 060a 050c 00000000 00000000  05000000
       0600 0100 7400 0000  0c00 0200 696e677265737300
       6402 0480
       2400 0180  0900 0100 6d65746100 000000
         1400 0280  0800 0200 00000001  0800 0100 00000001
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000000  0c00 0380 0600 0100 0800 0000
       3400 0180  0c00 0100 7061796c6f616400
         2400 0280  0800 0100 00000001  0800 0200 00000001  0800 0300 00000010  0800 0400 00000004
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000000  0c00 0380 0800 0100 c0000201
       3400 0180  0c00 0100 7061796c6f616400
         2400 0280  0800 0100 00000001  0800 0200 00000001  0800 0300 00000006  0800 0400 00000002
       4400 0180  0c00 0100 6269747769736500
         3400 0280  0800 0100 00000001  0800 0200 00000001  0800 0300 00000002
         0c00 0480 0600 0100 1fff 0000  0c00 0580 0600 0100 0000 0000
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000000  0c00 0380 0600 0100 0000 0000
       2400 0180  0900 0100 6d65746100 000000
         1400 0280  0800 0200 00000010  0800 0100 00000001
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000000  0c00 0380 0500 0100 06 000000
       3400 0180  0c00 0100 7061796c6f616400
         2400 0280  0800 0100 00000001  0800 0200 00000002  0800 0300 00000002  0800 0400 00000002
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000005  0c00 0380 0600 0100 9c40 0000
       2c00 0180  0800 0100 636d7000
         2000 0280  0800 0100 00000001  0800 0200 00000003  0c00 0380 0600 0100 ea60 0000
       3000 0180  0e00 0100 696d6d65646961746500 0000
         1c00 0280  0800 0100 00000000  1000 0280 0c00 0280 0800 0100 00000000`,
    `14000000 1100 0100 00000000 00000000  0000 000a`,
  ];
  assertEquals<Uint8Array[]>(messages, expected.map(hex));
});

Deno.test("installIngressDrop() deletes the table of its name and family in the same batch", () => {
  const table = (family: string, name: string) =>
    message(0x0a00, `${family}000000 0600 0100 ${name}00 0000`, { flags: 2 });
  const tables = together(table("01", "74"), table("05", "75"), table("05", "74"), NO_TABLES);
  const kernel = new ScriptedKernel(acknowledge(PROBE_REQUESTS), tables, acknowledge(4));
  installIngressDrop(open(kernel), DROP);
  const [, first, second] = split(kernel.requests[2]!);
  assertEquals(NLMSGHDR.read(first!, 0).type, 0x0a02);
  assertEquals<Uint8Array>(first!.slice(16), hex("05000000 0600 0100 7400 0000"));
  assertEquals(NLMSGHDR.read(second!, 0).type, 0x0a00);
});

Deno.test("xtablesQueue() names the target of iptables and never asks for bypass", () => {
  const builder = new MessageBuilder(0, 0);
  xtablesQueue(0x1234)(builder);
  assertEquals<Uint8Array>(
    builder.finish(0, 0).slice(NLMSGHDR.size),
    hex(`3400 0180  0b00 0100 74617267657400 00
           2400 0280  0c00 0100 4e46515545554500  0800 0200 00000003
             0c00 0300 3412 0100 0000 0000`),
  );
});

for (const [name, errno] of [["EINVAL", EINVAL], ["EOPNOTSUPP", EOPNOTSUPP]] as const) {
  Deno.test(`Nftables makes tables without an owner where the kernel says ${name} to one`, () => {
    const supported = acknowledge(PROBE_REQUESTS);
    const kernel = new ScriptedKernel(answer(1, errno), supported, NO_TABLES, acknowledge(3));
    const nftables = open(kernel);
    assertEquals(nftables.ownsTables, false);
    installNotrack(nftables, { table: "t", mark: 1 });
    const [, newTable] = split(kernel.requests[3]!);
    assertEquals<Uint8Array>(newTable!.slice(-28, -20), hex("0800 0200 00000000"));
  });
}

Deno.test("Nftables.open() without ownership asks nothing", () => {
  const kernel = new ScriptedKernel();
  assertEquals(Nftables.open(kernel.libc(), { owned: false }).ownsTables, false);
  assertEquals(kernel.requests, []);
});

Deno.test("Nftables says that the kernel has no nftables, and deletes nothing there", () => {
  // What netfilter says of a subsystem that is not there, to a request and to a batch as a whole.
  const kernel = new ScriptedKernel(
    message(ERROR, `eaffffff ${"00".repeat(16)}`),
    answer(0, EOPNOTSUPP),
  );
  const nftables = Nftables.open(kernel.libc(), { owned: false });
  const error = assertThrows(() => nftables.listTables(), NoNftablesError);
  assertMatch(
    error.message,
    /^Cannot use the firewall: this kernel has no nftables .*modprobe nf_tables/,
  );
  nftables.deleteTable({ family: "ip", name: "t" });
  assert(kernel.finished);
});

Deno.test("Nftables.open() says that the kernel has no nftables where it has no netfilter at all", () => {
  const symbols = { socket: () => -1 };
  const libc = { symbols, errno: () => EPROTONOSUPPORT } as unknown as Libc;
  assertEquals(exitCodeOf(assertThrows(() => Nftables.open(libc), NoNftablesError)), 5);
});

Deno.test("Nftables.open() throws and closes its socket when the kernel refuses all of a batch", () => {
  // Without the privilege the kernel answers to the message that begins it, and to no other.
  const kernel = new ScriptedKernel(answer(0, EPERM));
  const error = assertThrows(() => open(kernel), NetlinkError);
  assertEquals(error.errno, EPERM);
  assertMatch(error.message, /it requires CAP_NET_ADMIN/);
  assertEquals(kernel.closed, [5]);
});

Deno.test("a batch fails with the first error, and its late answers are not taken for the next one's", () => {
  const kernel = new ScriptedKernel(
    acknowledge(PROBE_REQUESTS),
    NO_TABLES,
    answer(1),
    together(answer(2, ENOENT), answer(3, EAGAIN)),
    // The failed batch had five messages; the last of its requests is answered once more.
    together(answer(3 - 5, EPERM), answer(1)),
  );
  const nftables = open(kernel);
  const error = assertThrows(() => installIngressDrop(nftables, DROP), NetlinkError);
  assertEquals(error.errno, ENOENT);
  assertEquals(
    error.message,
    'Cannot add nftables table netdev "t", chain ingress for interface "v0": ' +
      "no such file or directory (ENOENT)",
  );
  nftables.deleteTable({ family: "netdev", name: "t" });
  assert(kernel.finished);
});
