/** Store configuration: the file of a gateway that has its peers in a store. */
import type { Config } from "../../core/config/config.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

/** @throws {AppError} for one that has none */
export function requireStore({ fileName, interface: { store } }: Config): void {
  if (store.length > 0) return;
  throw new AppError(
    `${fileName}: [Interface]: Store is missing: it is where peers are, as in Store = tls://nats-a.example.org:4222`,
    { exitCode: ExitCode.usage },
  );
}
