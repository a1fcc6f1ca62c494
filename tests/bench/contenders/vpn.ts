/** This project as a contender: the real program, from its command line. */
import { temporaryFile } from "../../net/support/config.ts";
import type { Wire } from "../../net/support/wire.ts";
import { vpnCommand } from "../../net/support/programs/vpn.ts";
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { ContenderName } from "../figures.ts";
import { type Contender, tunnelOf } from "./contender.ts";
import {
  clientConfig,
  serverConfig,
  serverConfigWith,
  type SideOptions,
} from "./wireguard_config.ts";

/** What a role logs when it is up. */
const READY = { server: /listening on UDP port (\d+)/, client: /connected to \S+/ } as const;
const START_TIMEOUT_MS = 15_000;

/** The command line up to the command's name: a compiled program, or the sources. */
export type Program = readonly string[];

/** The sources, run by this Deno with these further flags, or a compiled program. */
export function programOf(path: string | null, denoFlags: readonly string[] = []): Program {
  if (path !== null) return [path];
  const [deno, run, ...rest] = vpnCommand();
  return [deno, run, ...denoFlags, ...rest];
}

/** Starts a role and waits until it is up. */
export async function startVpn(
  role: "server" | "client",
  namespace: TestNamespace,
  { program, config, env = {} }: { program: Program; config: string; env?: Record<string, string> },
): Promise<BackgroundProcess> {
  using file = temporaryFile(config);
  const process = namespace.spawn([...program, role, "--config", file.path], { env });
  await process.waitFor(READY[role], START_TIMEOUT_MS);
  return process;
}

/** This project at both ends. */
export function vpn(program: Program): Contender {
  return contender(program, { name: ContenderName.vpn });
}

/** The same by fake TCP. */
export function vpnFakeTcp(program: Program): Contender {
  return contender(program, { name: ContenderName.fakeTcp, transport: "faketcp" });
}

/** The same with BoringSSL for packets. */
export function vpnBoringssl(program: Program): Contender {
  return contender(program, { name: ContenderName.boringssl, aead: "boringssl" });
}

/** The same with OpenSSL's libcrypto for packets, too. */
export function vpnLibcrypto(program: Program): Contender {
  return contender(program, { name: ContenderName.libcrypto, aead: "libcrypto" });
}

/** The same without libcrypto: the cipher that is in the executable. */
export function vpnBuiltin(program: Program): Contender {
  return contender(program, { name: ContenderName.builtin, aead: "builtin" });
}

/** The same with the kernel's masquerade for the clients. */
export function vpnKernelNat(program: Program): Contender {
  return contender(program, { name: ContenderName.kernelNat, egress: "kernel" });
}

function contender(
  program: Program,
  { name, ...options }: { name: string } & Omit<SideOptions, "isOurs">,
): Contender {
  const startServer = (wire: Wire, config: string) =>
    startVpn("server", wire.server, { program, config });
  return {
    name,
    translates: true,
    async start({ behind, ...wire }) {
      const server = await startServer(wire, serverConfig({ isOurs: true, ...options }));
      const config = clientConfig({ isOurs: true, ...options, behind });
      const client = await startVpn("client", wire.client, { program, config });
      return tunnelOf(server, client);
    },
    startServer: (wire, peers) =>
      startServer(wire, serverConfigWith({ isOurs: true, ...options }, peers)),
  };
}
