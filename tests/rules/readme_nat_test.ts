/** Tests that what README.md says of the NAT's protocols, times and shares is what the NAT does. */
import * as constants from "../../lib/core/nat/constants.ts";
import { DropReason } from "../../lib/core/wire/drop_reason.ts";
import { CLIENT, REMOTE, World } from "../support/nat/world.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { buildIcmp, buildIpv4, buildTcp, buildUdp } from "../support/packets/packet_builder.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";

const README = await whereAllowed(() =>
  Deno.readTextFile(new URL("../../README.md", import.meta.url))
);

/** The rows of the table with this first heading, the headings left out. */
function table(heading: string): string[][] {
  const lines = README.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${heading}`));
  assert(start >= 0, `there is no table of "${heading}"`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
  return lines.slice(start + 2, end)
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

function seconds(ms: number): string {
  return `${count(ms / 1000)} s`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

hostTest("README.md's times and shares of the NAT are the code's", () => {
  assertEquals(table("time or share of the NAT"), [
    ["UDP mapping, from the client's last packet", seconds(constants.UDP_TIMEOUT)],
    [
      "UDP mapping that talks to ports below 1024 alone",
      seconds(constants.WELL_KNOWN_UDP_TIMEOUT),
    ],
    [
      "UDP mapping that asked DNS alone, once it is answered",
      seconds(constants.ANSWERED_DNS_TIMEOUT),
    ],
    ["ICMP echo", seconds(constants.ICMP_QUERY_TIMEOUT)],
    [
      "TCP connection, established, from the last packet",
      seconds(constants.TCP_ESTABLISHED_TIMEOUT),
    ],
    [
      "TCP connection that opens, closes or was reset",
      seconds(constants.TCP_TRANSITORY_TIMEOUT),
    ],
    ["established TCP is never evicted until idle for", seconds(constants.TCP_IN_USE_TIME)],
    ["port at rest before another client gets it", seconds(constants.PORT_REST_TIME)],
    ["fragments that wait for their first", seconds(constants.FRAGMENT_TIMEOUT)],
    ["ports of a protocol for a client", count(constants.DEFAULT_CLIENT_QUOTA)],
    [
      "sessions of a protocol for a client",
      count(constants.DEFAULT_CLIENT_QUOTA * constants.SESSIONS_PER_PORT),
    ],
    ["sessions of all clients", count(constants.MAX_SESSIONS)],
    ["fragmented packets that wait, each direction", count(constants.MAX_WAITING_TRAINS)],
    [
      "of these, one sender's",
      count(constants.MAX_WAITING_TRAINS / constants.WAITING_PARTS),
    ],
    ["ICMP errors to a client in a second", count(constants.ICMP_ERRORS_PER_SECOND)],
  ]);
});

hostTest("README.md's protocols are those that the NAT carries, and refuses", () => {
  const ends = { source: CLIENT, destination: REMOTE };
  const packets: Record<number, Uint8Array<ArrayBuffer>> = {
    1: buildIcmp(ends),
    6: buildTcp({ ...ends, flags: 2 }),
    17: buildUdp(ends),
  };
  const carried: number[] = [];
  const named = new Set<number>();
  for (const [protocols, fate] of table("protocol ")) {
    for (const [, number] of protocols.matchAll(/\((\d+)\)/g)) {
      const protocol = Number(number);
      named.add(protocol);
      const world = new World();
      const { outside, inside } = world.outbound(
        packets[protocol] ?? buildIpv4({ ...ends, protocol, payload: new Uint8Array(32) }),
      );
      if (outside.length === 1) carried.push(protocol);
      assertEquals(outside.length === 1, !fate.startsWith("refused"), `protocol ${protocol}`);
      assertEquals(inside.length, 1 - outside.length, `protocol ${protocol}`);
      assertEquals(world.dropped(DropReason.natUnsupportedProtocol), inside.length);
    }
  }
  assertEquals(carried.sort((a, b) => a - b), [1, 6, 17]);
  assert([41, 47, 50, 132].every((protocol) => named.has(protocol)), "one of the usual is missing");
});
