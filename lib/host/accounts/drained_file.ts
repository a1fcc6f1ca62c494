/** Drained file: which back ends of published services a person has drained, so that a restart does not undo that. */
import { readRegular } from "../files/bounded_read.ts";
import { createKeyFile } from "../files/config_store.ts";

/** Bytes; as many services with as many back ends as there can be have a fourth of it. */
const MAX_SIZE = 16 * 1024 * 1024;

export class DrainedFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** What was written, as in `tcp:443 web-1:8443`; nothing where that cannot be used. */
  read(): readonly string[] {
    try {
      const { bytes } = readRegular(this.#path, MAX_SIZE);
      const kept: unknown = JSON.parse(new TextDecoder().decode(bytes));
      return Array.isArray(kept) ? kept.filter((each) => typeof each === "string") : [];
    } catch {
      return [];
    }
  }

  /** @throws {AppError} where it cannot */
  write(keys: Iterable<string>): void {
    const content = new TextEncoder().encode(JSON.stringify([...keys]));
    createKeyFile({ path: this.#path, content, overwrite: true, withFolder: true });
  }
}
