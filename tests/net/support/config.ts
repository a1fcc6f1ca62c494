/** Keys and configuration files that network tests make up. */
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import { emptyFile } from "../../support/folder.ts";

/** A pair of keys as they stand in a configuration. */
export interface Identity {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** A fresh pair. */
export function newIdentity(): Identity {
  const pair = keyPair(crypto.getRandomValues(new Uint8Array(32)));
  return { privateKey: encodeKey(pair.secret), publicKey: encodeKey(pair.public) };
}

/** A fresh preshared key. */
export function newPresharedKey(): string {
  return encodeKey(crypto.getRandomValues(new Uint8Array(32)));
}

/** The lines of a section, by key; a key without a value here is left out. */
export type Section = Readonly<Record<string, string | number | undefined>>;

/** A configuration in the format of wg and wg-quick. */
export function configText(interfaceSection: Section, ...peers: readonly Section[]): string {
  return [sectionText("Interface", interfaceSection)]
    .concat(peers.map((peer) => sectionText("Peer", peer)))
    .join("\n");
}

function sectionText(name: string, section: Section): string {
  const lines = Object.entries(section)
    .flatMap(([key, value]) => value === undefined ? [] : `${key} = ${value}\n`);
  return `[${name}]\n${lines.join("")}`;
}

/** A file with this text that only its owner can read; disposal removes it. */
export function temporaryFile(text: string): { readonly path: string } & Disposable {
  const path = emptyFile({ suffix: ".conf" });
  Deno.writeTextFileSync(path, text);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}
