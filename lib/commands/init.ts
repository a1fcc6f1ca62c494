/** Command `vpn init`: makes the keys and the configuration of a new gateway. */
import type { InitRequest } from "../cli/command.ts";
import { leaveSetupToken, setupLinkOf } from "../console/accounts/setup_token.ts";
import { gatewayAddress6 } from "../core/config/address_pool6.ts";
import { formatEndpoint, serverFileText } from "../core/config/text/config_writer.ts";
import { deviceOfFile } from "../core/config/values/console_values.ts";
import { formatCidr } from "../core/wire/ipv4_text.ts";
import { createFile } from "../host/files/config_store.ts";
import { AppError, errorMessage, ExitCode } from "../process/errors.ts";
import { consoleStatePath } from "../process/state_directory.ts";
import { groupId, userId } from "../process/user_name.ts";
import { newPrivateKey } from "./keys.ts";
import { writeText } from "../process/output.ts";
import { shellWord } from "../process/shell_word.ts";

/** The user that the console runs as, and the group that may administer the gateway. */
const CONSOLE_USER = "vpn-console";
const CONSOLE_ORIGIN = "http://127.0.0.1:51821";

/**
 * Writes the file and says what comes next.
 *
 * @throws {AppError} where it cannot; a file that is there is left alone
 */
export function runInit(request: InitRequest): number {
  const { endpoint, subnet, ipv6, out } = request;
  const address = { address: subnet.address + 1, prefixLength: subnet.prefixLength };
  const address6 = ipv6 ? gatewayAddress6(crypto.getRandomValues(new Uint8Array(5))) : null;
  const text = serverFileText({
    privateKey: newPrivateKey(),
    address,
    address6,
    endpoint,
    controlGroup: request.console ? CONSOLE_USER : null,
  });
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
${request.console ? consoleLines(out) : ""}`,
  );
  return ExitCode.ok;
}

/** What there is to do for a console, and the link by which its first account is made. */
function consoleLines(out: string): string {
  const device = deviceOfFile(out);
  const [user, group] = [userId(CONSOLE_USER), groupId(CONSOLE_USER)];
  const isMissing = user === null || group === null;
  const folder = consoleStatePath(device);
  const token = leftToken(folder, isMissing || Deno.uid() !== 0 ? null : { user, group });
  // What was left there is root's until its user is there.
  const given = token !== null && Deno.uid() === 0 ? ` && chown -R ${CONSOLE_USER}: ${folder}` : "";
  return [
    ...isMissing ? [`Its user:      useradd --system --user-group ${CONSOLE_USER}${given}`] : [],
    `Console:       vpn console --interface ${device}      (as ${CONSOLE_USER}, or vpn-console@${device}.service)`,
    `First account: ${
      token === null
        ? "its start prints a link, if it has none"
        : setupLinkOf(CONSOLE_ORIGIN, token)
    }`,
    "",
  ].join("\n");
}

function leftToken(folder: string, owner: Parameters<typeof leaveSetupToken>[1]): string | null {
  try {
    return leaveSetupToken(folder, owner);
  } catch (error) {
    const reason = errorMessage(error);
    throw new AppError(`Cannot prepare the console in ${folder}: ${reason}`, {
      exitCode: ExitCode.unexpected,
      cause: error,
    });
  }
}
