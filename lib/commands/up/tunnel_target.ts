/**
 * Tunnel target: the file and the device that a name stands for, as wg-quick has it, and whether it is a gateway's or a
 * client's.
 */
import { basename, resolve } from "node:path";
import type { Role } from "../../cli/command.ts";
import { quoted } from "../../core/config/config_error.ts";
import { INTERFACE_NAME_RULE, isInterfaceName } from "../../core/config/values/interface_name.ts";
import { loadConfigAgain } from "../../host/files/config_file.ts";
import { CONFIG_DIRECTORY, configPathOf } from "../../host/files/config_place.ts";
import { roleOf } from "../doctor/subject.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

export interface TunnelTarget {
  /** From the root. */
  readonly path: string;
  /** Name of the TUN device, which is the file's without `.conf`. */
  readonly interfaceName: string;
}

/**
 * What a name stands for: a file in `/etc/vpn`, or a path.
 *
 * @throws {AppError} with exit code 2 where no device can be called so
 */
export function targetOf(name: string): TunnelTarget {
  const path = resolve(configPathOf(name));
  const interfaceName = basename(path).replace(/\.conf$/, "");
  if (isInterfaceName(interfaceName)) return { path, interfaceName };
  throw new AppError(
    `Cannot name the device ${quoted(interfaceName)} after its file: ${INTERFACE_NAME_RULE}`,
    { exitCode: ExitCode.usage },
  );
}

/** Whether the units of systemd run this file; the names of units have no "=" and no "+". */
export function isOfUnits({ path, interfaceName }: TunnelTarget): boolean {
  return path === `${CONFIG_DIRECTORY}/${interfaceName}.conf` && /^[\w.-]+$/.test(interfaceName);
}

/**
 * The tunnel reads the file once more.
 *
 * @throws {ConfigError} where it cannot be read, or not twice, or has a mistake
 */
export function roleOfTarget({ path }: TunnelTarget): Role {
  return roleOf(loadConfigAgain(path, "leave"));
}
