/** Tests of the transport's filter: its program is run, instruction by instruction, over packets. */
import {
  fakeTcpFilter,
  type FakeTcpInterfaces,
} from "../../../../lib/dataplane/filters/fake_tcp_filter.ts";
import type { FakeTcpEndpoints } from "../../../../lib/core/transport/fake_tcp/endpoints.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { segment6 } from "../../../support/fake_tcp/segments.ts";
import { type BpfSurroundings, runBpf } from "../../../support/packets/bpf.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";

const ETHERNET = { index: 2, linkHeaderSize: 14 };
const TUNNEL = { index: 300, linkHeaderSize: 0 };
const OURS = "203.0.113.1";
const ALSO_OURS = "198.51.100.7";
const PLACES: FakeTcpInterfaces = {
  addresses: [0xcb007101, 0xc6336407],
  links: [{ index: 1, linkHeaderSize: 14 }, TUNNEL, ETHERNET],
};
const SERVER: FakeTcpEndpoints = { ports: { first: 443, last: 443 }, remote: null };
const CLIENT: FakeTcpEndpoints = {
  ports: { first: 40_000, last: 40_015 },
  remote: { address: 0xc0000209, port: 443 },
};

/** What the program says of a packet, on Ethernet and on an interface without link-layer header. */
function accepts(
  endpoints: FakeTcpEndpoints,
  packet: Bytes,
  surroundings: BpfSurroundings = {},
): boolean {
  const { program } = fakeTcpFilter(endpoints, PLACES);
  const bare = runBpf(program, packet, { link: TUNNEL.index, ...surroundings });
  const framed = new Uint8Array([...new Uint8Array(14).fill(0x45), ...packet]);
  const link = surroundings.link ?? ETHERNET.index;
  if (link === ETHERNET.index) {
    assertEquals(runBpf(program, framed, { ...surroundings, link }), bare);
  }
  assert(bare === 0 || bare === 0xffff_ffff);
  return bare !== 0;
}

const toServer = { source: "192.0.2.9", destination: OURS, destinationPort: 443 };
const toClient = {
  source: "192.0.2.9",
  sourcePort: 443,
  destination: OURS,
  destinationPort: 40_000,
};

Deno.test("fakeTcpFilter() lets through segments from anybody to a server's port", () => {
  assert(accepts(SERVER, buildTcp(toServer)));
  assert(accepts(SERVER, buildTcp({ ...toServer, destination: ALSO_OURS })));
  assert(accepts(SERVER, buildTcp({ ...toServer, flags: 2, options: [1, 1, 1, 1, 1, 1, 1, 0] })));
  for (const destinationPort of [0, 442, 444, 40_000]) {
    assert(!accepts(SERVER, buildTcp({ ...toServer, destinationPort })), `${destinationPort}`);
  }
});

Deno.test("fakeTcpFilter() lets through segments from the server alone to a client's ports", () => {
  for (const destinationPort of [40_000, 40_007, 40_015]) {
    assert(accepts(CLIENT, buildTcp({ ...toClient, destinationPort })), `${destinationPort}`);
  }
  for (const destinationPort of [443, 39_999, 40_016]) {
    assert(!accepts(CLIENT, buildTcp({ ...toClient, destinationPort })), `${destinationPort}`);
  }
  assert(!accepts(CLIENT, buildTcp({ ...toClient, source: "192.0.2.8" })), "somebody else");
  assert(!accepts(CLIENT, buildTcp({ ...toClient, sourcePort: 80 })), "another service");
});

Deno.test("fakeTcpFilter() leaves out what is only forwarded", () => {
  assert(!accepts(SERVER, buildTcp({ ...toServer, destination: "203.0.113.2" })));
  assert(!accepts(CLIENT, buildTcp({ ...toClient, destination: "203.0.113.2" })));
});

Deno.test("fakeTcpFilter() leaves out other protocols, and fragments", () => {
  assert(!accepts(SERVER, buildUdp(toServer)));
  assert(!accepts(SERVER, buildTcp(toServer), { etherType: 0x86dd }));
  const whole = buildTcp({ ...toServer, payload: new Uint8Array(64) });
  const [first, second] = fragment(whole, 32) as [Bytes, Bytes];
  assert(!accepts(SERVER, first) && !accepts(SERVER, second));
  assert(accepts(SERVER, buildTcp({ ...toServer, dontFragment: true })));
});

Deno.test("fakeTcpFilter() takes only the interfaces named, and nothing that is still tagged", () => {
  assert(!accepts(SERVER, buildTcp(toServer), { link: 3 }), "a port of a bridge, say");
  assert(!accepts(SERVER, buildTcp(toServer), { vlanTag: true }));
  const { program: nowhere } = fakeTcpFilter(SERVER, { addresses: PLACES.addresses, links: [] });
  assertEquals(runBpf(nowhere, buildTcp(toServer)), 0);
  const { program: nobody } = fakeTcpFilter(SERVER, { addresses: [], links: [TUNNEL] });
  assertEquals(runBpf(nobody, buildTcp(toServer), { link: TUNNEL.index }), 0);
});

Deno.test("fakeTcpFilter() tells IPv6 by all of an address, and leaves out what has extension headers", () => {
  const own = ["2001:db8::1", "2001:db8:0:1::1"];
  const places = { ...PLACES, addresses: [...PLACES.addresses, ...own] };
  const remote = { address: "2001:db8::2", port: 443 };
  const takes = (packet: Bytes, endpoints = SERVER, etherType = 0x86dd) => {
    const { program } = fakeTcpFilter(endpoints, places);
    const bare = runBpf(program, packet, { link: TUNNEL.index, etherType });
    const framed = new Uint8Array([...new Uint8Array(14), ...packet]);
    assertEquals(runBpf(program, framed, { link: ETHERNET.index, etherType }), bare);
    return bare !== 0;
  };
  for (const destination of own) assert(takes(segment6({ destination })), destination);
  for (const destination of ["2001:db8::2", "2001:db8:1::1", "2001:db9::1", "2001:db8::1:0:1"]) {
    assert(!takes(segment6({ destination })), destination);
  }
  assert(!takes(segment6({ destinationPort: 444 })));
  assert(!takes(segment6({}).with(6, 60)), "destination options");
  assert(!takes(segment6({}).with(6, 44)), "a fragment");
  assert(!takes(segment6({}), SERVER, 0x0800));
  assert(takes(buildTcp(toServer), SERVER, 0x0800), "IPv4 as well");
  const client = { ...CLIENT, remote };
  const answer = { sourcePort: 443, destinationPort: 40_007 };
  assert(takes(segment6(answer), client));
  assert(!takes(segment6({ ...answer, source: "2001:db8::3" }), client), "somebody else");
  assert(!takes(segment6({ ...answer, sourcePort: 80 }), client), "another service");
  assert(!takes(buildTcp(toClient), client, 0x0800), "the other family");
});

Deno.test("fakeTcpFilter() has room for the first of too many addresses of both families", () => {
  const addresses = Array.from(
    { length: 2_000 },
    (_, i) => i % 2 === 0 ? 0x0a000000 + i : `2001:db8::${i.toString(16)}`,
  );
  const links = [{ index: 1, linkHeaderSize: 14 }, { index: 2, linkHeaderSize: 0 }];
  for (const most of [256, 512, 4_096]) {
    const { program, leftOut } = fakeTcpFilter(SERVER, { addresses, links }, most);
    assert(program.length <= most, `${program.length} of ${most}`);
    const named = 2_000 - leftOut;
    assert(named >= 8, `${named} addresses`);
    const etherType = 0x86dd;
    assert(
      runBpf(program, segment6({ destination: addresses[1] as string }), { link: 2, etherType }) !==
        0,
    );
  }
});

Deno.test("fakeTcpFilter() refuses truncated packets", () => {
  const packet = buildTcp(toServer);
  for (let length = 0; length < 24; length++) assert(!accepts(SERVER, packet.slice(0, length)));
});

Deno.test("fakeTcpFilter() finds each of many addresses and interfaces", () => {
  const addresses = Array.from({ length: 600 }, (_, i) => 0x0a000000 + i);
  const links = Array.from({ length: 400 }, (_, i) => ({ index: i + 1, linkHeaderSize: 0 }));
  const { program, leftOut } = fakeTcpFilter(SERVER, { addresses, links });
  assertEquals(leftOut, 0);
  for (const i of [0, 1, 255, 256, 599]) {
    const destination = `10.0.${i >> 8}.${i & 255}`;
    const packet = buildTcp({ destination, destinationPort: 443 });
    assert(runBpf(program, packet, { link: (i % 400) + 1 }) !== 0, destination);
  }
});

Deno.test("fakeTcpFilter() has room for the first of too many addresses and interfaces, and says how many are left out", () => {
  const addresses = Array.from({ length: 10_000 }, (_, i) => 0x0a000000 + i);
  const links = Array.from(
    { length: 1_000 },
    (_, i) => ({ index: i + 1, linkHeaderSize: i % 2 === 0 ? 0 : 14 }),
  );
  for (const most of [256, 512, 2_048, 4_096]) {
    const { program } = fakeTcpFilter(SERVER, { addresses, links }, most);
    assert(program.length > most - 8 && program.length <= most, `${program.length} of ${most}`);
  }
  const { program, leftOut } = fakeTcpFilter(SERVER, { addresses, links });
  const named = 10_000 - (leftOut - (1_000 - 512));
  assert(named > 700, `${named} addresses`);
  const accepts = (i: number, link: number) => {
    const destination = `10.0.${i >> 8}.${i & 255}`;
    return runBpf(program, buildTcp({ destination, destinationPort: 443 }), { link }) !== 0;
  };
  assertEquals(
    [accepts(0, 1), accepts(named - 1, 511), accepts(named, 1), accepts(0, 513)],
    [true, true, false, false],
  );
});
