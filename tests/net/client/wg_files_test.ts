/** That every file which `wg-quick strip` and `wg setconf` take is taken by us, and means the same to us. */
import { hostNames } from "../../../lib/host/dns/host_names.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { wgText } from "../../../lib/core/config/text/wg_text.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { netTest, randomDigits, type TestNamespace } from "../../support/net.ts";
import { newIdentity, newPresharedKey, temporaryFile } from "../support/config.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { layWire } from "../support/wire.ts";

const [OWN, PEER, OTHER] = [newIdentity(), newIdentity(), newIdentity()];
const PSK = newPresharedKey();
const HEAD = `[Interface]\nPrivateKey = ${OWN.privateKey}\n`;
const FIRST = `[Peer]\nPublicKey = ${PEER.publicKey}\n`;
const SECOND = `[Peer]\nPublicKey = ${OTHER.publicKey}\n`;

/** Files with an oddity each. */
const TAKEN: readonly string[] = [
  HEAD,
  `${HEAD}Address = 10.0.0.1/24, fd00::1/64\nAddress = 10.1.0.1/24\nDNS = 1.1.1.1, corp.example\n`,
  `${HEAD}DNS =\nMTU = 0\nTable = main\nPreUp = \nPostUp =\nPreDown =\nPostDown = # none\nSaveConfig = false\n`,
  `${HEAD}Address =\nMTU =\nTable =\n`,
  `${HEAD}ListenPort = https\n`,
  `${HEAD}ListenPort = 7\nListenPort = 8\nMTU = 1400\nMTU = 1300\n`,
  `${HEAD}[Interface]\nListenPort = 9\n`,
  `[Interface]\nListenPort = 9\nPostUp = wg set %i private-key /etc/wireguard/key\n`,
  `[interface]\r\nprivatekey=${OWN.privateKey}\r\nLISTENPORT = 5\r\nFWMARK = 0xCa6C\r\n`,
  `\t[Interface]\t\n\tPrivateKey\t=\t${OWN.privateKey}\t# mine\n  Fw Mark = 1 0\n# [Peer]\n`,
  `[ Interface ]\nPrivate Key = ${OWN.privateKey.slice(0, 9)} ${
    OWN.privateKey.slice(9)
  }\nListenPort = 51 820`,
  `${HEAD}FwMark = off\n`,
  `${HEAD}FwMark = 0\n${FIRST}PersistentKeepalive = off\n`,
  `${HEAD}${FIRST}PersistentKeepalive = 0\n`,
  `${HEAD}${FIRST}AllowedIPs = 10.0.0.9/24,fd00::9/64 , 10.1.0.1\nAllowedIPs = 192.168.0.0 / 16\n`,
  `${HEAD}${FIRST}AllowedIPs = 0.0.0.0/0, ::/0\n${SECOND}AllowedIPs = 0.0.0.0/0, ::/0\n`,
  `${HEAD}${FIRST}AllowedIPs = 10.0.0.1/24, 10.1.0.0/16\n${SECOND}AllowedIPs = 10.0.0.2/24, 10.2.0.0/16\n`,
  `${HEAD}${FIRST}AllowedIPs = 10.0.0.0/24, 10.0.0.0/24\n`,
  `${HEAD}${FIRST}Endpoint = 192.0.2.1:https\nPersistentKeepalive = 65535\n`,
  `${HEAD}${FIRST}Endpoint = localhost:51820\nEndpoint = 192.0.2.2 : 7\n`,
  `${HEAD}${FIRST}Endpoint = [2001:DB8:0::1]:51820\n${SECOND}Endpoint = 2001:db8::2:7\n`,
  `${HEAD}${FIRST}presharedkey=${PSK}\nPublicKey = ${OTHER.publicKey}\n`,
  `${HEAD}${FIRST}[Peer]\nPublicKey = ${OWN.publicKey}\nAllowedIPs = 10.0.0.0/8\n`,
  `${FIRST}# friendly_name = Ann's phone\nAllowedIPs = 10.0.0.2/32\n\n${HEAD}ListenPort = 5\n`,
  `# Client: Ann (3f1c9e6e-8f4f-4a0a-9d8e-0d6f3c0f8a11)\n${FIRST}AllowedIPs = 10.0.0.2\n### end Ann ###\n${HEAD}`,
];
/** What `wg` refuses, so that it is seen to refuse. */
const REFUSED: readonly string[] = [
  `${HEAD}Whatever = 1\n`,
  `${HEAD}ListenPort = \n`,
  `${HEAD}${FIRST}PresharedKey = \n`,
  `${HEAD}${FIRST}AllowedIPs = 10.0.0.0/33\n`,
  `${HEAD}${FIRST}Endpoint = 192.0.2.1\n`,
];

/**
 * What a device has by a text for `wg setconf`, in a form that does not depend on the order; null where `wg` refuses
 * it.
 */
async function deviceBy(peer: WireguardGo, host: TestNamespace, text: string) {
  const { code } = await host.run(["wg", "setconf", peer.name, "/dev/stdin"], { stdin: text });
  if (code !== 0) return null;
  const dump = await host.output(["wg", "show", peer.name, "dump"]);
  return dump.trim().split("\n").map((line, index) => {
    const fields = line.split("\t");
    // A port that is not given is any.
    if (index === 0) return /^\s*listen/im.test(text) ? fields : fields.with(2, "");
    const [key, presharedKey, endpoint, networks = "", , , , keepalive] = fields;
    return [key, presharedKey, endpoint, networks.split(",").sort(), keepalive];
  }).sort();
}

netTest(
  "what wg-quick strip and wg setconf take of a file, we take, and it comes to the same",
  async (topology) => {
    const host = topology.namespace("host");
    const peer = await WireguardGo.start(host, HEAD, []);
    const names = hostNames();
    const folder = temporaryFolder();
    const path = `${folder}/wg0.conf`;
    for (const text of [...TAKEN, ...REFUSED]) {
      Deno.writeTextFileSync(path, text);
      const stripped = await host.run(["wg-quick", "strip", path]);
      const theirs = stripped.code === 0 ? await deviceBy(peer, host, stripped.stdout) : null;
      assertEquals(theirs === null, REFUSED.includes(text), text);
      if (theirs === null) continue;
      const keysOfHooks = () => ({
        privateKey: new Uint8Array(32),
        presharedKeys: new Map(),
        done: [],
      });
      const config = parseConfig(text, "f.conf", { names, keysOfHooks });
      assertEquals(await deviceBy(peer, host, wgText(config)), theirs, text);
    }
  },
  { programs: [...WIREGUARD_GO_PROGRAMS, "wg-quick", "bash"] },
);

netTest(
  "wg syncconf with what vpn strip prints of our own file changes a running server as the file says",
  async (topology) => {
    const wire = await layWire(topology);
    const text = simpleTunnel().server({ Egress: "off", DnsProxy: "192.0.2.53" });
    const name = `s${randomDigits()}`;
    await startVpn("server", wire.server, text, "--interface", name);
    const shown = () => wire.server.output(["wg", "show", name, "dump"]);
    const sync = async (file: string) => {
      using edited = temporaryFile(file);
      const strip = vpnCommand("strip", edited.path).map((word) => `'${word}'`).join(" ");
      const command = `wg syncconf ${name} <(${strip})`;
      const { code, stderr } = await wire.server.run(["bash", "-c", command]);
      assertEquals([code, stderr], [0, ""]);
    };
    const before = await shown();
    await sync(text);
    assertEquals(await shown(), before);
    await sync(
      `${text}\n[Peer]\nName = Ann's phone\nPublicKey = ${PEER.publicKey}\nAllowedIPs = 10.66.77.7\nRateLimit = 10M\n` +
        "Endpoint = [2001:db8::7]:51820\n",
    );
    assert(
      (await shown()).includes(`${PEER.publicKey}\t(none)\t[2001:db8::7]:51820\t10.66.77.7/32\t`),
    );
    await sync(text);
    assertEquals(await shown(), before);
  },
  { programs: ["ip", "wg", "bash"] },
);
