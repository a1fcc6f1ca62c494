/** Drained file: which back ends of published services a person has drained, so that a restart does not undo that. */
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
      if (Deno.statSync(this.#path).size > MAX_SIZE) return [];
      const kept: unknown = JSON.parse(Deno.readTextFileSync(this.#path));
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
