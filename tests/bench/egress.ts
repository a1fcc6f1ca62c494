/**
 * Bench of a gateway's path to the internet: our NAT and the kernel's behind our tunnel, beside wireguard-go with the
 * kernel's masquerade, in turn, round by round: `deno task bench:egress`. Needs root, wireguard-go, iperf3 and nft.
 */
import { Topology } from "../support/net.ts";
import { configText } from "../net/support/config.ts";
import { GatewayNetwork, INSIDE, INTERNET, UPLINK } from "../net/support/gateway.ts";
import { tcpFlow } from "../net/support/traffic/traffic.ts";
import { WireguardGo } from "../net/support/programs/wireguard_go.ts";
import { SERVER_PORT } from "../net/support/wire.ts";
import { Samples } from "./samples.ts";
import { formatNumber, formatTable } from "./table.ts";

const ROUNDS = 3;
const SECONDS = 2;
const REFERENCE = "wireguard-go, masquerade";
const MASQUERADE = `table ip bench { chain post { type nat hook postrouting priority 100
  oifname "${UPLINK}" masquerade
}
}
`;

/** Starts one contender's gateway and client; both end with their namespaces. */
const CONTENDERS: Readonly<Record<string, (network: GatewayNetwork) => Promise<unknown>>> = {
  [REFERENCE]: async (network) => {
    const { client, gateway } = network;
    await gateway.output(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    await gateway.output(["nft", "-f", "-"], { stdin: MASQUERADE });
    const config = configText(
      { PrivateKey: network.identity.privateKey, ListenPort: SERVER_PORT },
      { PublicKey: client.identity.publicKey, AllowedIPs: `${client.inside}/32` },
    );
    await WireguardGo.start(gateway, config, [`${INSIDE}/24`]);
    await network.connectWireguardGo();
  },
  "vpn, Egress = raw": (network) => network.startBoth(),
  "vpn, Egress = kernel": (network) => network.startBoth({ Egress: "kernel" }),
};

const FIGURES = [
  { name: "to the internet", reverse: false },
  { name: "from the internet", reverse: true },
] as const;

async function main(): Promise<void> {
  const samples = new Samples();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [contender, start] of Object.entries(CONTENDERS)) {
      await using topology = new Topology();
      const network = await GatewayNetwork.lay(topology);
      await start(network);
      for (const { name, reverse } of FIGURES) {
        const flow = await tcpFlow(network.client.namespace, network.internet, INTERNET, {
          seconds: SECONDS,
          reverse,
        });
        samples.add(name, contender, flow.receivedBytes * 8 / SECONDS / 1e9);
      }
    }
  }
  const rows = FIGURES.flatMap(({ name }) => {
    const reference = samples.summary(name, REFERENCE)!.median;
    return [
      [`TCP, one stream, ${name} (Gbit/s)`],
      ...samples.contenders(name).map((contender) => {
        const { median, min, max } = samples.summary(name, contender)!;
        return [
          `  ${contender}`,
          formatNumber(median, 2),
          `${formatNumber(min, 2)} - ${formatNumber(max, 2)}`,
          `${formatNumber(median / reference, 2)} x`,
        ];
      }),
    ];
  });
  const table = formatTable(
    [["", "median", "min - max", "ratio"], ...rows],
    ["left", "right", "right", "right"],
  );
  await Deno.stdout.write(new TextEncoder().encode(table));
}

if (import.meta.main) await main();
