/** Time from the start of `vpn client` until a packet has come through the tunnel. */
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../../ffi/arena.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { ARENA_SIZE, openSocket } from "../../net/support/traffic/sockets.ts";
import { temporaryFile } from "../../net/support/config.ts";
import { delay, SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import { type Program, startVpn } from "../contenders/vpn.ts";
import { clientConfig, serverConfig } from "../contenders/wireguard_config.ts";

const PORT = 5006;
const TIMEOUT_MS = 15_000;

/**
 * Starts the client `count` times at one server. Returns the times in ms: from before the process is made until the
 * first of the datagrams that are sent every millisecond has arrived at the server's inner address.
 */
export async function measureStart(
  wire: Wire,
  { program, count }: { program: Program; count: number },
): Promise<number[]> {
  await using _server = await startVpn("server", wire.server, {
    program,
    config: serverConfig({ isOurs: true }),
  });
  using file = temporaryFile(clientConfig({ isOurs: true }));
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    times.push(await startOnce(wire, [...program, "client", "--config", file.path]));
  }
  return times;
}

async function startOnce(wire: Wire, command: readonly string[]): Promise<number> {
  const arena = new Arena(ARENA_SIZE);
  using receiver = openSocket(wire.server, arena, PORT);
  using sender = openSocket(wire.client, arena);
  const probe = {
    offsets: new Int32Array([arena.allocate(64)]),
    lengths: new Int32Array([64]),
    ...pathsTo([{ address: parseIpv4(SERVER_INSIDE)!, port: PORT }]),
  };
  const start = performance.now();
  await using client = wire.client.spawn(command);
  let ended = false;
  client.status.then(() => ended = true);
  for (;;) {
    // Without a route to it, which comes with the TUN, the kernel refuses the datagram.
    sender.send(probe, 0, 1);
    if (receiver.receive() > 0) return performance.now() - start;
    if (ended || performance.now() - start > TIMEOUT_MS) {
      throw new Error(`Cannot get a packet through:\n${client.stdout}${client.stderr}`);
    }
    await delay(1);
  }
}
