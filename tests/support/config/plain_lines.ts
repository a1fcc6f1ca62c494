/** Lines of keys whose values stand for themselves, with what each comes to. */
import type { InterfaceConfig } from "../../../lib/core/config/config.ts";

export const PLAIN_LINES: readonly [line: string, config: Partial<InterfaceConfig>][] = [
  ["Store = TLS://Nats-a, tls://[2001:db8::7]:4223", {
    store: ["tls://nats-a:4222", "tls://[2001:db8::7]:4223"],
  }],
  ["StoreCredentials = /etc/vpn/a key", { storeCredentials: "/etc/vpn/a key" }],
  ["StoreCA = ca.pem", { storeCa: "ca.pem" }],
  ["StoreGrace = 7d", { storeGrace: 604_800_000 }],
  ["StoreGrace = 0", { storeGrace: 0 }],
  ["VirtualAddress = 203.0.113.5/24", {
    virtualAddress: { address: 0xcb007105, prefixLength: 24 },
  }],
  ["DnsBlock = lists/ads and more.txt", { dnsBlock: ["lists/ads and more.txt"] }],
  ["NatFiltering = endpoint", { natFiltering: "endpoint" }],
  ["DnsQueryLog = on", { dnsQueryLog: true }],
  ["FlowLog = on", { flowLog: true }],
  ["NatFiltering = address", { natFiltering: "address" }],
  ["ControlGroup = vpn-console", { controlGroup: "vpn-console" }],
  ["Webhook = https://A.example/x?y", { webhooks: ["https://a.example/x?y"] }],
  [`WebhookSecret = ${"A".repeat(43)}=`, { webhookSecret: new Uint8Array(32) }],
  ["KillSwitch = on", { killSwitch: true }],
  ["KillSwitch = off", { killSwitch: false }],
];
