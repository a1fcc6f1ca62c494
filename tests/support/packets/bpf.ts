/** Running of classic BPF programs over packets, to test them instruction by instruction. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { assert } from "../assert.ts";
import type { Bytes } from "./packet_builder.ts";

const SKF_AD_PROTOCOL = 0xfffff000;
const SKF_AD_IFINDEX = 0xfffff008;
const SKF_AD_VLAN_TAG_PRESENT = 0xfffff030;

/** What the kernel knows of a packet besides its bytes. */
export interface BpfSurroundings {
  /** IPv4 if left out. */
  readonly etherType?: number;
  /** Index of the interface. */
  readonly link?: number;
  readonly vlanTag?: boolean;
}

/** Runs a classic BPF program as Documentation/networking/filter.rst describes its instructions. */
export function runBpf(
  program: readonly BpfInstruction[],
  packet: Bytes,
  { etherType = 0x0800, link = 0, vlanTag = false }: BpfSurroundings = {},
): number {
  const view = new DataView(packet.buffer);
  let accumulator = 0;
  let index = 0;
  for (let at = 0;;) {
    const instruction = program[at];
    assert(instruction !== undefined, `the program goes on at ${at}, behind its end`);
    const { code, jt, jf, k } = instruction;
    at++;
    const load = (offset: number, size: number) => {
      if (offset === SKF_AD_PROTOCOL) return etherType;
      if (offset === SKF_AD_IFINDEX) return link;
      if (offset === SKF_AD_VLAN_TAG_PRESENT) return vlanTag ? 1 : 0;
      if (offset + size > packet.length) return null;
      return size === 4
        ? view.getUint32(offset)
        : size === 2
        ? view.getUint16(offset)
        : view.getUint8(offset);
    };
    let loaded: number | null = accumulator;
    switch (code) {
      case 0x20:
        loaded = load(k, 4);
        break;
      case 0x28:
        loaded = load(k, 2);
        break;
      case 0x30:
        loaded = load(k, 1);
        break;
      case 0x40:
        loaded = load(index + k, 4);
        break;
      case 0x48:
        loaded = load(index + k, 2);
        break;
      case 0x50:
        loaded = load(index + k, 1);
        break;
      case 0x80:
        loaded = packet.length;
        break;
      case 0xb1: {
        const byte = load(k, 1);
        if (byte === null) return 0;
        index = (byte & 15) * 4;
        break;
      }
      case 0x07:
        index = accumulator;
        break;
      case 0x87:
        loaded = index;
        break;
      case 0x04:
        loaded = (accumulator + k) >>> 0;
        break;
      case 0x0c:
        loaded = (accumulator + index) >>> 0;
        break;
      case 0x54:
        loaded = (accumulator & k) >>> 0;
        break;
      case 0x64:
        loaded = (accumulator << k) >>> 0;
        break;
      case 0x74:
        loaded = accumulator >>> k;
        break;
      case 0x94:
        loaded = accumulator % k;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += accumulator === k ? jt : jf;
        break;
      case 0x25:
        at += accumulator > k ? jt : jf;
        break;
      case 0x35:
        at += accumulator >= k ? jt : jf;
        break;
      case 0x45:
        at += (accumulator & k) !== 0 ? jt : jf;
        break;
      case 0x06:
        return k;
      case 0x16:
        return accumulator;
      default:
        throw new Error(`unknown instruction ${code}`);
    }
    if (loaded === null) return 0;
    accumulator = loaded;
  }
}
