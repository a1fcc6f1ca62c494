/**
 * What this host calls ports and routing tables by name: `/etc/services` and iproute2's `rt_tables`, read when first
 * asked.
 */
import { parseRtTables, parseServices } from "../../core/config/values/name_tables.ts";
import type { HostNames } from "../../core/config/text/config_document.ts";
import { readText } from "./resolv_conf_file.ts";

const SERVICES = "/etc/services";
/** The later ones count where they give a name again: the administrator's before the distribution's. */
const RT_TABLES = ["/usr/share/iproute2/rt_tables", "/etc/iproute2/rt_tables"];

/** @param read the text of a file; null where it is not there */
export function hostNames(read: (path: string) => string | null = readText): HostNames {
  let services: ReadonlyMap<string, number> | undefined;
  let tables: ReadonlyMap<string, number> | undefined;
  return {
    service: (name) => (services ??= parseServices(read(SERVICES) ?? "")).get(name),
    table: (name) =>
      (tables ??= parseRtTables(RT_TABLES.map((path) => read(path) ?? "").join("\n"))).get(name),
  };
}
