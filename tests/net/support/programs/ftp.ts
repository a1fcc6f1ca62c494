/** FTP server (vsftpd) of network tests: anonymous, read only, in passive mode. */
import { temporaryFolder } from "../../../support/folder.ts";
import { type TestNamespace } from "../../../support/net.ts";
import { eventually } from "../../../support/time/patience.ts";

/** Programs that a test with this server needs. */
export const FTP_PROGRAMS: readonly string[] = ["vsftpd", "curl"];

export const FTP_FILE = "file";

/** A running server, with one file. Disposal removes its folder; the server ends with its namespace. */
export interface FtpServer extends AsyncDisposable {
  /** What the file says. */
  readonly text: string;
}

/** Starts vsftpd on `address`, port 21. */
export async function startFtp(namespace: TestNamespace, address: string): Promise<FtpServer> {
  const folder = temporaryFolder();
  const text = crypto.randomUUID();
  // Its own conditions: a root that others can read and not write, and an empty folder.
  await Deno.chmod(folder, 0o755);
  await Deno.mkdir(`${folder}/empty`);
  await Deno.mkdir(`${folder}/root`);
  await Deno.writeTextFile(`${folder}/root/${FTP_FILE}`, text);
  const config = {
    listen: "YES",
    background: "NO",
    listen_address: address,
    anonymous_enable: "YES",
    no_anon_password: "YES",
    anon_root: `${folder}/root`,
    secure_chroot_dir: `${folder}/empty`,
    // It would make namespaces of its own, which containers may refuse.
    isolate: "NO",
    isolate_network: "NO",
    seccomp_sandbox: "NO",
  };
  const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`);
  await Deno.writeTextFile(`${folder}/vsftpd.conf`, lines.join(""));
  const process = namespace.spawn(["vsftpd", `${folder}/vsftpd.conf`]);
  await listening(namespace, address);
  return {
    text,
    async [Symbol.asyncDispose]() {
      await process.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Waits until the server takes connections: it says nothing when it does. */
async function listening(namespace: TestNamespace, address: string): Promise<void> {
  const probe = ["curl", "--silent", "--list-only", `ftp://${address}/`];
  await eventually(async () => (await namespace.run(probe)).code === 0 || null, {
    interval: 50,
    what: `vsftpd at ${address}`,
  });
}
