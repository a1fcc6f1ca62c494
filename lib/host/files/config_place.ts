/**
 * Where a configuration is that is called by name: `/etc/vpn/NAME.conf`, as wg-quick has `/etc/wireguard/NAME.conf`.
 */
import { isInterfaceName } from "../../core/config/values/interface_name.ts";

export const CONFIG_DIRECTORY = "/etc/vpn";

/** The file that `name` stands for: a path with a folder, and one that ends in `.conf`, stand for themselves. */
export function configPathOf(name: string): string {
  return isInterfaceName(name) && !name.endsWith(".conf")
    ? `${CONFIG_DIRECTORY}/${name}.conf`
    : name;
}
