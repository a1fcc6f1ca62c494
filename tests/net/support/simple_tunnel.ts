/** Configurations of the simplest tunnel: one client, one server, on the wire that `layWire()` lays. */
import { assertEquals } from "../../support/assert.ts";
import type { BackgroundProcess } from "../../support/net.ts";
import { configText, newIdentity, type Section } from "./config.ts";
import { CLIENT_INSIDE, SERVER_ENDPOINT, SERVER_INSIDE, SERVER_PORT, SUBNET } from "./wire.ts";

/** The two configurations; what is given adds to their sections or replaces it. */
export interface SimpleTunnel {
  server(interfaceSection?: Section): string;
  client(interfaceSection?: Section, peer?: Section): string;
}

/** With fresh keys. */
export function simpleTunnel(): SimpleTunnel {
  const [server, client] = [newIdentity(), newIdentity()];
  return {
    server: (interfaceSection = {}) =>
      configText(
        {
          PrivateKey: server.privateKey,
          ListenPort: SERVER_PORT,
          Address: `${SERVER_INSIDE}/24`,
          ...interfaceSection,
        },
        { PublicKey: client.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
      ),
    client: (interfaceSection = {}, peer = {}) =>
      configText(
        { PrivateKey: client.privateKey, Address: `${CLIENT_INSIDE}/32`, ...interfaceSection },
        {
          PublicKey: server.publicKey,
          Endpoint: SERVER_ENDPOINT,
          AllowedIPs: SUBNET,
          ...peer,
        },
      ),
  };
}

/** Sends `signal`, and fails unless the program ends by itself, with 0 and without a journal. */
export async function endWell(
  process: BackgroundProcess,
  { signal = "SIGTERM" }: { signal?: Deno.Signal } = {},
): Promise<void> {
  process.signal(signal);
  const { code } = await process.ended();
  assertEquals(code, 0, process.stderr);
  assertEquals(journalsOf(process), []);
}

/** Ends the program at once, so that it can undo nothing. */
export async function killHard(process: BackgroundProcess): Promise<void> {
  process.signal("SIGKILL");
  await process.status;
}

/** The files that name what a process has changed on the host and not undone yet. */
export function journalsOf(process: BackgroundProcess): string[] {
  try {
    return Array.from(Deno.readDirSync("/run/vpn"), ({ name }) => name)
      .filter((name) => name.startsWith(`${process.pid}-`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
