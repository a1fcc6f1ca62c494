/** Reserved file: a new file that is there before its content is, so that it is known early where it cannot be. */
import { Folder } from "../../../ffi/folder.ts";
import { createFile, createKeyFile } from "./config_store.ts";

export class ReservedFile implements Disposable {
  readonly #path: string;
  #isWritten = false;

  /** @throws {AppError} where there cannot be such a file, or it exists */
  constructor(path: string) {
    this.#path = path;
    createFile({ path, text: "" });
  }

  /** @throws {AppError} where it cannot */
  write(text: string): void {
    const content = new TextEncoder().encode(text);
    createKeyFile({ path: this.#path, content, overwrite: true });
    this.#isWritten = true;
  }

  /** Removes a file that nothing was written to. */
  [Symbol.dispose](): void {
    if (this.#isWritten) return;
    try {
      const { folder, name } = Folder.find(this.#path, { followLast: false });
      using _folder = folder;
      folder.remove(name);
    } catch {
      // It is empty, and what went wrong is told.
    }
  }
}
