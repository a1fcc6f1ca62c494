/**
 * Tests of `lib/commands/doctor/nat_checks.ts`: the way outside is the one that clients' packets take, routing rules
 * and all.
 */
import { assertEquals } from "../../../support/assert.ts";
import { configText, newIdentity } from "../../../net/support/config.ts";
import { NAT_CHECKS } from "../../../../lib/commands/doctor/nat_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateServer } from "../../../../lib/core/config/roles.ts";

const LINKS = [
  { index: 7, name: "eth0", hardwareAddress: new Uint8Array(6), mtu: 1500, kind: null },
  { index: 8, name: "vpn0", hardwareAddress: null, mtu: 1420, kind: "tun" },
  { index: 9, name: "wg0", hardwareAddress: null, mtu: 1420, kind: "wireguard" },
];

interface Lookup {
  readonly mark?: number;
  readonly inputLink?: number;
}

/** A gateway on a host whose routing rules send by wg0 what these are true of. */
async function egressOf(egress: "raw" | "kernel", isRuled: (lookup: Lookup) => boolean) {
  const server = validateServer(parseConfig(
    configText(
      {
        PrivateKey: newIdentity().privateKey,
        Address: "10.66.77.1/24",
        ListenPort: 51_820,
        Egress: egress,
      },
      { PublicKey: newIdentity().publicKey, AllowedIPs: "10.66.77.2/32" },
    ),
    "server.conf",
  ));
  const subject = {
    server,
    client: null,
    instance: null,
    options: { interfaceName: "vpn0" },
    netlink: {
      routes: {
        lookup: (_to: Uint8Array, lookup: Lookup = {}) => {
          const isBy = isRuled(lookup);
          return {
            type: 1,
            link: isBy ? 9 : 7,
            preferredSource: isBy ? Uint8Array.of(10, 9, 9, 2) : Uint8Array.of(192, 0, 2, 1),
          };
        },
      },
      links: {
        find: (which: string | number) =>
          LINKS.find(({ index, name }) => index === which || name === which) ?? null,
      },
      addresses: { list: () => [] },
    },
  } as unknown as Subject;
  return Array.from(await NAT_CHECKS.find(({ name }) => name === "egress")!.look(subject));
}

Deno.test("the way outside is by the uplink that routing rules choose for the gateway's own NAT", async () => {
  const found = await egressOf("raw", ({ mark }) => mark === 0x5650);
  assertEquals(found.map(({ why }) => why), [
    "packets to the internet leave through wg0 with source 10.9.9.2",
  ]);
});

Deno.test("the way outside is by the uplink that routing rules choose for what is forwarded", async () => {
  const [verdict] = await egressOf("kernel", ({ inputLink }) => inputLink === 8);
  assertEquals(verdict?.why.split(" with ")[0], "packets to the internet leave through wg0");
});
