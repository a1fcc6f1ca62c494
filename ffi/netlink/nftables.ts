/** TEMPORARY (lead): replaced by the nftables helper; keeps the server importable meanwhile. */
import type { Libc } from "../libc.ts";
export class Nftables implements Disposable {
  static open(_libc: Libc): Nftables {
    return new Nftables();
  }
  installNotrack(_: { table: string; mark: number }): void {}
  installIngressDrop(
    _: {
      table: string;
      device: string;
      address: number;
      ports: { tcp: { first: number; last: number }[]; udp: { first: number; last: number }[] };
    },
  ): void {}
  installMasquerade(
    _: {
      table: string;
      sources: readonly { address: number; prefixLength: number }[];
      device: string;
    },
  ): void {}
  [Symbol.dispose](): void {}
}
