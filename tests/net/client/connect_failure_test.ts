/**
 * Tests of what `vpn client` says when it cannot connect, and `vpn doctor` of the same: one failure is told from
 * another.
 */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { newIdentity, newPresharedKey } from "../support/config.ts";
import { examine } from "../support/doctor.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { runVpn, startVpn } from "../support/programs/vpn.ts";
import { layWire, SERVER_OUTSIDE } from "../support/wire.ts";

const [CLOSED, PROHIBITED, SHUT] = [51_821, 51_822, 51_823];

netTest("a client that cannot connect says why, and ends with 3", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await server.output(["nft", "-f", "-"], {
    stdin: "table ip fw { chain input { type filter hook input priority 0;\n" +
      `udp dport ${PROHIBITED} reject with icmp type admin-prohibited\n}\n}\n`,
  });
  await client.output(["nft", "-f", "-"], {
    stdin: "table ip fw { chain output { type filter hook output priority 0;\n" +
      `udp dport ${SHUT} drop\n}\n}\n`,
  });
  await startVpn("server", server, tunnel.server());
  const to = (port: number) => ({ Endpoint: `${SERVER_OUTSIDE}:${port}` });
  const cases = [
    [to(CLOSED), /no program listens on that port, says 192\.0\.2\.1 \(ICMP port unreachable\)/],
    [to(PROHIBITED), /a firewall blocks it, says 192\.0\.2\.1 \(ICMP \w+ administratively/],
    [to(SHUT), /this host's own firewall blocks packets to it \(EPERM\)/],
    [{ PresharedKey: newPresharedKey() }, /cannot be decrypted: the preshared keys differ/],
    [
      { PublicKey: newIdentity().publicKey },
      /rejects other ports but not this one: .* do not match/,
    ],
  ] as const;
  await Promise.all(cases.map(async ([peer, words]) => {
    const config = tunnel.client({ ConnectTimeout: 5 }, peer);
    const { code, stderr } = await runVpn("client", client, config);
    assertEquals(code, 3, stderr);
    assertMatch(stderr, words);
  }));
}, { programs: ["nft"] });

netTest("doctor tells a wrong key from a server that is not reached", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await server.output(["nft", "-f", "-"], {
    stdin: "table ip fw { chain input { type filter hook input priority 0;\n" +
      `udp dport ${PROHIBITED} reject with icmp type admin-prohibited\n}\n}\n`,
  });
  await startVpn("server", server, tunnel.server());
  const look = (peer: Record<string, string>) => examine(client, tunnel.client({}, peer));
  const [stranger, prohibited] = await Promise.all([
    look({ PublicKey: newIdentity().publicKey }),
    look({ Endpoint: `${SERVER_OUTSIDE}:${PROHIBITED}` }),
  ]);
  stranger.expect("handshake", {
    status: "fail",
    why: /its host rejects other ports but not this one: a server listens there and the keys/,
  });
  prohibited.expect("handshake", {
    status: "fail",
    why: /a firewall blocks .*: 192\.0\.2\.1 says/,
  });
}, { programs: ["nft"] });
