/** Micro-benchmarks of lookups on a packet's way: allowed IPs by the number of peers, the replay window. */
import { ReplayWindow } from "../../lib/core/noise/replay_window.ts";
import { AllowedIps } from "../../lib/core/wireguard/allowed_ips.ts";
import { parseIpv4 } from "../../lib/core/wire/ipv4_text.ts";
import { peerAddress } from "./load/peer_address.ts";

for (const peers of [1, 10, 100, 1000]) {
  const table = new AllowedIps<{ readonly index: number }>();
  const addresses = Int32Array.from({ length: peers }, (_, i) => parseIpv4(peerAddress(i))!);
  addresses.forEach((address, index) => table.insert(address, 32, { index }));
  let next = 0;
  Deno.bench(`AllowedIps.lookup() among ${peers}`, { group: "allowed IPs" }, () => {
    next = next + 1 < peers ? next + 1 : 0;
    table.lookup(addresses[next]);
  });
}

{
  const window = new ReplayWindow();
  let low = 0;
  Deno.bench("ReplayWindow check() and commit(), in order", { group: "replay window" }, () => {
    low++;
    if (window.check(low, 0)) window.commit(low, 0);
  });
}

{
  const window = new ReplayWindow();
  let low = 0;
  Deno.bench("ReplayWindow check() of a replay", { group: "replay window" }, () => {
    low = (low + 1) & 1023;
    window.commit(low, 0);
    window.check(low, 0);
  });
}
