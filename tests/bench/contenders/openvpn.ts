/**
 * OpenVPN as a contender: TLS by self-signed certificates that each end knows the fingerprint of, data by
 * ChaCha20-Poly1305 over UDP, no compression, nothing tuned, and all of it in user space (no ovpn-dco).
 */
import { temporaryFolder } from "../../support/folder.ts";
import type { BackgroundProcess, TestNamespace } from "../../support/net.ts";
import { output } from "../../support/process.ts";
import { CLIENT_INSIDE, SERVER_INSIDE, SERVER_OUTSIDE } from "../../net/support/wire.ts";
import { formatIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { ContenderName } from "../figures.ts";
import { type Contender, noWireguard, tunnelOf } from "./contender.ts";
import type { Program } from "./vpn.ts";

const PORT = "1194";
const READY = /Initialization Sequence Completed/;

/** Files of one end. */
interface Certificate {
  readonly key: string;
  readonly certificate: string;
  readonly fingerprint: string;
}

/** A contender whose keys lie in a directory of their own, which disposal removes; `program` is how it is run. */
export async function openvpn(program: Program): Promise<Contender & Disposable> {
  const directory = temporaryFolder();
  const dispose = () => Deno.removeSync(directory, { recursive: true });
  try {
    const server = await makeCertificate(directory, "server");
    const client = await makeCertificate(directory, "client");
    return {
      name: ContenderName.openvpn,
      unfit: noWireguard("OpenVPN"),
      async start({ behind, ...wire }) {
        const serverProcess = start(wire.server, server, {
          program,
          peer: client,
          args: [
            ...["--tls-server", "--dh", "none", "--lport", PORT],
            ...["--ifconfig", SERVER_INSIDE, CLIENT_INSIDE],
          ],
        });
        const clientProcess = start(wire.client, client, {
          program,
          peer: server,
          args: [
            ...["--tls-client", "--nobind", "--remote", SERVER_OUTSIDE, PORT],
            ...["--ifconfig", CLIENT_INSIDE, SERVER_INSIDE],
            ...behind === undefined ? [] : ["--route", ...networkAndMask(behind)],
          ],
        });
        await Promise.all([serverProcess, clientProcess].map((it) => it.waitFor(READY, 15_000)));
        return tunnelOf(serverProcess, clientProcess);
      },
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

function start(
  namespace: TestNamespace,
  own: Certificate,
  { program, peer, args }: { program: Program; peer: Certificate; args: readonly string[] },
): BackgroundProcess {
  return namespace.spawn([
    ...program,
    ...["--dev", "tun0", "--dev-type", "tun", "--proto", "udp"],
    ...["--cert", own.certificate, "--key", own.key, "--peer-fingerprint", peer.fingerprint],
    ...["--data-ciphers", "CHACHA20-POLY1305", "--cipher", "CHACHA20-POLY1305"],
    ...["--disable-dco", "--allow-compression", "no", "--verb", "3"],
    ...args,
  ]);
}

/** As OpenVPN wants it: `203.0.113.0` and `255.255.255.0` for `203.0.113.0/24`. */
function networkAndMask(network: string): [string, string] {
  const [address, length] = network.split("/");
  return [address!, formatIpv4((0xffffffff << (32 - Number(length))) >>> 0)];
}

async function makeCertificate(directory: string, name: string): Promise<Certificate> {
  const key = `${directory}/${name}.key`;
  const certificate = `${directory}/${name}.crt`;
  await output(null, [
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ...["-nodes", "-days", "2", "-subj", `/CN=${name}`, "-keyout", key, "-out", certificate],
  ]);
  const text = await output(null, [
    ...["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"],
  ]);
  return { key, certificate, fingerprint: text.trim().split("=")[1] };
}
