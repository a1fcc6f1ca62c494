/** Host rules: refuses rules that name a host where the gateway has no DNS proxy, which would know its addresses. */
import type { Config, PeerConfig } from "../core/config/config.ts";
import { quoted } from "../core/config/config_error.ts";
import { hostIn, NO_RESOLVER } from "../core/config/values/access_rules.ts";
import { RequestError } from "./protocol.ts";

type Rules = Pick<PeerConfig, "allow" | "deny">;

/** @throws {RequestError} */
export function refuseHosts(
  { interface: { dnsProxy } }: Config,
  changes: readonly { readonly kind: string; readonly peer?: Rules }[],
  groups: readonly Rules[] = [],
): void {
  if (dnsProxy.length > 0) return;
  for (const section of [...changes.flatMap(({ peer }) => peer ?? []), ...groups]) {
    const host = hostIn(section);
    if (host === null) continue;
    throw new RequestError(`Cannot use ${quoted(host)} in a rule: ${NO_RESOLVER}`);
  }
}
