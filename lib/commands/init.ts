/** Command `vpn init`: makes the keys and the configuration of a new gateway. */
import type { InitRequest } from "../cli/command.ts";
import { gatewayAddress6 } from "../core/config/address_pool6.ts";
import { formatEndpoint, serverFileText } from "../core/config/text/config_writer.ts";
import { formatCidr } from "../core/wire/ipv4_text.ts";
import { createFile } from "../host/files/config_store.ts";
import { ExitCode } from "../process/errors.ts";
import { newPrivateKey } from "./keys.ts";
import { writeText } from "../process/output.ts";
import { shellWord } from "../process/shell_word.ts";

/**
 * Writes the file and says what comes next.
 *
 * @throws {AppError} where it cannot; a file that is there is left alone
 */
export function runInit({ endpoint, subnet, ipv6, out }: InitRequest): number {
  const address = { address: subnet.address + 1, prefixLength: subnet.prefixLength };
  const address6 = ipv6 ? gatewayAddress6(crypto.getRandomValues(new Uint8Array(5))) : null;
  const text = serverFileText({ privateKey: newPrivateKey(), address, address6, endpoint });
  createFile({ path: out, text });
  const file = shellWord(out);
  writeText(
    Deno.stdout,
    `${out}: a gateway with inner ${
      address6 === null
        ? `address ${formatCidr(address)}`
        : `addresses ${formatCidr(address)}, ${address6}`
    } and endpoint ` +
      `${formatEndpoint(endpoint)} (UDP)

Add clients:   vpn peer add laptop${out === "server.conf" ? "" : ` --config ${file}`}
Run it:        vpn server --config ${file}      (as root)
`,
  );
  return ExitCode.ok;
}
