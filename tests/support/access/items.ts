/** Access items: many rules of two peers, for what is measured. */
import {
  type AccessItem,
  ANY_PROTOCOL,
  TargetKind,
} from "../../../lib/core/access/access_items.ts";
import { prefixWords } from "../../../lib/core/access/inner_address.ts";

/** So many rules of each client, of which only the last one is about more than networks that nobody goes to. */
export function accessItems(rules: number, last: number): AccessItem[] {
  const item = { rule: 1, protocol: ANY_PROTOCOL, first: 0, last: 0xffff };
  const others = Array.from({ length: rules - 1 }, (_, i) => ({
    ...item,
    kind: TargetKind.network,
    network: prefixWords({ address: 0xc0000000 + i * 256, prefixLength: 24 }),
  }));
  const allow = [...others, { ...item, kind: last }];
  return [
    { kind: "list", list: 1, isFirst: true, hasAllow: true, allow, deny: [] },
    ...[1, 2].map((id) => ({ kind: "peer" as const, id, lists: [1], groups: [] })),
  ];
}
