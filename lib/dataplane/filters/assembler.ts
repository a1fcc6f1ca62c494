/** Assembler: classic BPF programs with names for the places that are jumped to, however far away these are. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { JA, jump, MAX_INSTRUCTIONS, statement } from "./bpf.ts";

/** A place's name, a jump to a place, or an instruction that jumps nowhere. */
export type BpfLine =
  | { readonly place: string }
  | { readonly go: string; readonly when?: { readonly test: number; readonly k: number } }
  | BpfInstruction;

/** Names what stands behind this line. */
export function at(place: string): BpfLine {
  return { place };
}

/** A jump to a place further down. */
export function go(place: string): BpfLine {
  return { go: place };
}

/** The same, if a test of the accumulator (JEQ and so on) is true. */
export function goIf(test: number, k: number, place: string): BpfLine {
  return { go: place, when: { test, k } };
}

/**
 * Makes the program. Conditional jumps reach 255 instructions and others any, so each conditional jump goes past one of
 * the others.
 *
 * @throws {RangeError} when it is longer than the kernel takes
 */
export function assemble(lines: readonly BpfLine[]): BpfInstruction[] {
  const places = new Map<string, number>();
  let length = 0;
  for (const line of lines) {
    if ("place" in line) places.set(line.place, length);
    else length += "go" in line && line.when !== undefined ? 2 : 1;
  }
  if (length > MAX_INSTRUCTIONS) {
    throw new RangeError(`Cannot make a BPF program of ${length} instructions`);
  }
  const program: BpfInstruction[] = [];
  for (const line of lines) {
    if ("place" in line) continue;
    if ("go" in line) {
      if (line.when !== undefined) program.push(jump(line.when.test, line.when.k, 0, 1));
      program.push(statement(JA, places.get(line.go)! - program.length - 1));
    } else program.push(line);
  }
  return program;
}
