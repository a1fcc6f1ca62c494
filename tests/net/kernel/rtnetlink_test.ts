/** Tests of links and addresses in `ffi/netlink/`, compared with what `ip` shows. */
import { HardwareType } from "../../../ffi/netlink/links.ts";
import { EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP } from "../../../ffi/errno.ts";
import { formatIp, type IpAddress, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { openNamespace } from "../../../ffi/netns.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { netTest, run, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";

const WITH_IP = { programs: ["ip"] };

/** What `ip -json -details` says, one object for each thing listed. */
// deno-lint-ignore no-explicit-any
async function ip(namespace: TestNamespace, command: string): Promise<any[]> {
  const text = await namespace.output(["ip", "-json", "-details", ...command.split(" ")]);
  return JSON.parse(text.trim() === "" ? "[]" : text);
}

/** A namespace with a veth pair whose both ends, `v0` and `v1`, are in it. */
function pairedNamespace(namespace: TestNamespace): TestNamespace {
  namespace.rtnetlink.links.createVeth("v0", { name: "v1" });
  return namespace;
}

function hex(bytes: Uint8Array | null): string {
  return Array.from(bytes ?? [], (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

netTest("createVeth() joins two interfaces that are down", async (topology) => {
  const namespace = pairedNamespace(topology.namespace("pair"));
  const [v0] = await ip(namespace, "link show v0");
  const [v1] = await ip(namespace, "link show v1");
  assertEquals([v0.linkinfo.info_kind, v1.linkinfo.info_kind], ["veth", "veth"]);
  assertEquals([v0.link, v1.link], ["v1", "v0"]);
  assert(!v0.flags.includes("UP") && !v1.flags.includes("UP"));
}, WITH_IP);

netTest(
  "createVeth() puts the peer in another namespace when given its descriptor",
  async (topology) => {
    const [near, far] = [topology.namespace("near"), topology.namespace("far")];
    using descriptor = openNamespace(far.name);
    near.rtnetlink.links.createVeth("v0", { name: "eth0", namespace: descriptor.fd });
    const [peer] = await ip(far, "link show eth0");
    assertEquals(peer.linkinfo.info_kind, "veth");
    assertEquals(near.rtnetlink.links.find("eth0"), null);
  },
  WITH_IP,
);

netTest("createBridge() makes a bridge that links can be ports of", async (topology) => {
  const namespace = pairedNamespace(topology.namespace("bridge"));
  const { links } = namespace.rtnetlink;
  links.createBridge("lan");
  links.configure("v0", { master: links.get("lan").index });
  const [lan] = await ip(namespace, "link show lan");
  const [v0] = await ip(namespace, "link show v0");
  assertEquals([lan.linkinfo.info_kind, v0.master], ["bridge", "lan"]);
  assertEquals(assertThrows(() => links.createBridge("lan"), NetlinkError).errno, EEXIST);
}, WITH_IP);

netTest("createVeth() reports EEXIST when a name is taken", (topology) => {
  const { rtnetlink } = pairedNamespace(topology.namespace("taken"));
  const error = assertThrows(
    () => rtnetlink.links.createVeth("v2", { name: "v1" }),
    NetlinkError,
  );
  assertEquals(error.errno, EEXIST);
  assertMatch(error.message, /^Cannot create veth pair "v2" and "v1": file exists \(EEXIST\)/);
  assertEquals(rtnetlink.links.find("v2"), null);
});

netTest("list() and get() show what `ip link` shows", async (topology) => {
  const namespace = pairedNamespace(topology.namespace("list"));
  const { links } = namespace.rtnetlink;
  links.configure("v0", { up: true, mtu: 1400, txQueueLength: 77 });
  const shown = await ip(namespace, "link show");
  const expected = shown.map((link) => ({
    index: link.ifindex,
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? null,
    master: null,
    lower: shown.find(({ ifname }) => ifname === link.link)?.ifindex ?? null,
    mtu: link.mtu,
    txQueueLength: link.txqlen,
    up: link.flags.includes("UP"),
    loopback: link.flags.includes("LOOPBACK"),
    hardwareType: link.link_type === "loopback" ? HardwareType.loopback : HardwareType.ethernet,
    arp: !link.flags.includes("NOARP"),
    hardwareAddress: link.address,
  }));
  const listed = links.list();
  assertEquals(
    listed.map(({ carrier: _, ...link }) => ({
      ...link,
      hardwareAddress: hex(link.hardwareAddress),
    })),
    expected,
  );
  assertEquals(listed.map((link) => link.name).sort(), ["lo", "v0", "v1"]);
  for (const link of listed) {
    assertEquals(links.get(link.name), link);
    assertEquals(links.get(link.index), link);
  }
}, WITH_IP);

netTest(
  "configure() sets up, MTU and queue length together, and leaves the rest",
  async (topology) => {
    const namespace = pairedNamespace(topology.namespace("settings"));
    const { links } = namespace.rtnetlink;
    links.configure("v0", { up: true, mtu: 1412, txQueueLength: 1234 });
    const [first] = await ip(namespace, "link show v0");
    assertEquals([first.mtu, first.txqlen, first.flags.includes("UP")], [1412, 1234, true]);
    links.configure(links.get("v0").index, { mtu: 1300 });
    const [second] = await ip(namespace, "link show v0");
    assertEquals([second.mtu, second.txqlen, second.flags.includes("UP")], [1300, 1234, true]);
    links.configure("v0", { up: false });
    const [third] = await ip(namespace, "link show v0");
    assertEquals([third.mtu, third.txqlen, third.flags.includes("UP")], [1300, 1234, false]);
  },
  WITH_IP,
);

netTest("get() tells a link with carrier from one without", (topology) => {
  const { links } = pairedNamespace(topology.namespace("carrier")).rtnetlink;
  links.configure("v0", { up: true });
  assertEquals([links.get("v0").up, links.get("v0").carrier], [true, false]);
  links.configure("v1", { up: true });
  assertEquals([links.get("v0").up, links.get("v0").carrier], [true, true]);
});

netTest(
  "configure() moves a link to another namespace and switches it on there",
  async (topology) => {
    const near = pairedNamespace(topology.namespace("near"));
    const far = topology.namespace("far");
    using descriptor = openNamespace(far.name);
    near.rtnetlink.links.configure("v1", { namespace: descriptor.fd, up: true });
    const [moved] = await ip(far, "link show v1");
    assert(moved.flags.includes("UP"));
    assertEquals(near.rtnetlink.links.find("v1"), null);
  },
  WITH_IP,
);

netTest("delete() removes a veth pair with either end, and nothing twice", (topology) => {
  const { links } = pairedNamespace(topology.namespace("delete")).rtnetlink;
  links.delete("v1");
  assertEquals(links.list().map((link) => link.name), ["lo"]);
  const error = assertThrows(() => links.delete("v1"), NetlinkError);
  assertEquals(error.errno, ENODEV);
});

netTest("the link functions name the link and the error that the kernel gave", (topology) => {
  const { links } = pairedNamespace(topology.namespace("errors")).rtnetlink;
  const noDevice = "no such device (ENODEV)";
  const cases = [
    [() => links.get("none"), `Cannot find link "none": ${noDevice}`, ENODEV],
    [() => links.get(999), `Cannot find link with index 999: ${noDevice}`, ENODEV],
    [
      () => links.configure("none", { up: true }),
      `Cannot configure link "none": ${noDevice}`,
      ENODEV,
    ],
    [
      () => links.configure("v0", { mtu: 70000 }),
      'Cannot configure link "v0": invalid argument (EINVAL): mtu greater than device maximum',
      EINVAL,
    ],
    [
      () => links.delete("lo"),
      'Cannot delete link "lo": operation not supported (EOPNOTSUPP)',
      EOPNOTSUPP,
    ],
  ] as const;
  for (const [call, message, errno] of cases) {
    const error = assertThrows(call, NetlinkError);
    assertEquals([error.message, error.errno], [message, errno]);
  }
});

netTest(
  "add() gives an interface IPv4 and IPv6 addresses as `ip addr` shows them",
  async (topology) => {
    const namespace = pairedNamespace(topology.namespace("addresses"));
    const { addresses, links } = namespace.rtnetlink;
    const { index } = links.get("v0");
    addresses.add(index, { address: parseIp("10.9.0.1"), prefixLength: 24 });
    addresses.add(index, {
      address: parseIp("10.9.1.1"),
      prefixLength: 32,
      peer: parseIp("10.9.1.2"),
    });
    addresses.add(index, { address: parseIp("fd00:9::1"), prefixLength: 64 });
    addresses.add(index, {
      address: parseIp("fd00:9::2"),
      prefixLength: 128,
      peer: parseIp("fd00:9::3"),
    });
    const [{ addr_info: shown }] = await ip(namespace, "address show dev v0");
    const summary = (
      info: { local: string; address?: string; prefixlen: number; broadcast?: string },
    ) => [info.local, info.address ?? null, info.prefixlen, info.broadcast ?? null];
    const expected = [
      ["10.9.0.1", null, 24, null],
      ["10.9.1.1", "10.9.1.2", 32, null],
      ["fd00:9::1", null, 64, null],
      ["fd00:9::2", "fd00:9::3", 128, null],
    ].sort();
    assertEquals(shown.map(summary).sort(), expected);
    const text = (address: IpAddress | null) => address === null ? null : formatIp(address);
    const listed = addresses.list({ link: index });
    assertEquals(
      listed.map((a) => [text(a.address), text(a.peer), a.prefixLength, null]).sort(),
      expected,
    );
  },
  WITH_IP,
);

netTest("list() of addresses filters by family and link", (topology) => {
  const { addresses, links } = pairedNamespace(topology.namespace("filter")).rtnetlink;
  const { index } = links.get("v0");
  addresses.add(index, { address: parseIp("10.9.0.1"), prefixLength: 24 });
  addresses.add(index, { address: parseIp("fd00:9::1"), prefixLength: 64 });
  const texts = (filter: Parameters<typeof addresses.list>[0]) =>
    addresses.list(filter).map((address) => formatIp(address.address)).sort();
  assertEquals(texts({ family: AF_INET }), ["10.9.0.1", "127.0.0.1"]);
  assertEquals(texts({ family: AF_INET6 }), ["::1", "fd00:9::1"]);
  assertEquals(texts({ link: index }), ["10.9.0.1", "fd00:9::1"]);
  assertEquals(texts({ link: index, family: AF_INET }), ["10.9.0.1"]);
  assertEquals(texts({}), ["10.9.0.1", "127.0.0.1", "::1", "fd00:9::1"]);
});

netTest(
  "an address with a lifetime is taken off by the kernel, unless it is set again",
  async (topology) => {
    const { addresses, links } = pairedNamespace(topology.namespace("lifetime")).rtnetlink;
    const { index } = links.get("v0");
    const spec = { address: parseIp("10.9.0.1"), prefixLength: 32 };
    addresses.add(index, { ...spec, lifetime: 1 });
    const there = () => addresses.list({ family: AF_INET, link: index });
    assertEquals(there().map(({ isPermanent }) => isPermanent), [false]);
    await eventually(() => there().length === 0 || null);
    addresses.replace(index, { ...spec, lifetime: 1 });
    addresses.replace(index, spec);
    assertEquals(there().map(({ isPermanent }) => isPermanent), [true]);
  },
);

netTest(
  "add() refuses a second time, replace() does not, delete() refuses what is not there",
  (topology) => {
    const { addresses, links } = pairedNamespace(topology.namespace("twice")).rtnetlink;
    const { index } = links.get("v0");
    const spec = { address: parseIp("10.9.0.1"), prefixLength: 24 };
    addresses.add(index, spec);
    const twice = assertThrows(() => addresses.add(index, spec), NetlinkError);
    assertEquals(twice.errno, EEXIST);
    assertMatch(twice.message, new RegExp(`^Cannot add address 10.9.0.1/24 on link ${index}: `));
    addresses.replace(index, spec);
    assertEquals(addresses.list({ link: index }).length, 1);
    addresses.delete(index, spec);
    assertEquals(addresses.list({ link: index }), []);
    const gone = assertThrows(() => addresses.delete(index, spec), NetlinkError);
    assertEquals(gone.errno, EADDRNOTAVAIL);
    const nowhere = assertThrows(() => addresses.add(999, spec), NetlinkError);
    assertEquals(nowhere.errno, ENODEV);
  },
);

netTest("a list of 300 interfaces with addresses arrives whole, in several parts", (topology) => {
  const { addresses, links } = topology.namespace("many").rtnetlink;
  for (let i = 0; i < 150; i++) {
    links.createVeth(`a${i}`, { name: `b${i}` });
    const { index } = links.get(`a${i}`);
    addresses.add(index, { address: Uint8Array.of(10, 1, i, 1), prefixLength: 24 });
  }
  const names = links.list().map((link) => link.name);
  assertEquals([names.length, new Set(names).size], [301, 301]);
  assertEquals(addresses.list({ family: AF_INET }).length, 151);
});

netTest("requests without CAP_NET_ADMIN say what is missing; lists work", async (topology) => {
  const namespace = pairedNamespace(topology.namespace("denied"));
  const source = `
    import { openLibc } from "${import.meta.resolve("../../../ffi/libc.ts")}";
    import { Rtnetlink } from "${import.meta.resolve("../../../ffi/netlink/rtnetlink.ts")}";
    const { links } = Rtnetlink.open(openLibc());
    console.log(links.list().length);
    try { links.configure("v0", { up: true }); } catch (error) { console.log(error.message); }`;
  const { stdout, stderr } = await run(namespace.name, [
    "setpriv",
    "--bounding-set=-net_admin",
    Deno.execPath(),
    "eval",
    source,
  ]);
  assertEquals(
    stdout.split("\n").slice(0, 2),
    [
      "3",
      'Cannot configure link "v0": operation not permitted (EPERM); it requires CAP_NET_ADMIN (root has it)',
    ],
    stderr,
  );
}, { programs: ["setpriv"] });
