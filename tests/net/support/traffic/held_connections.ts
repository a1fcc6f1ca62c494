/** Held connections: many of one address, opened by the kernel's own TCP, on which nothing is ever sent. */
import { PATIENCE } from "../../../support/time/patience.ts";
import type { RoutedPath } from "../routed_path.ts";

/** Opens `count` connections with the kernel's own TCP, which stay open; returns how many were accepted. */
export async function holdConnections(
  path: RoutedPath,
  address: string,
  { port, count }: { port: number; count: number },
): Promise<{ opened: number } & AsyncDisposable> {
  const program = path.router.spawn([
    ...[Deno.execPath(), "run", "--quiet", "--allow-net"],
    new URL("../../../attack/holder.ts", import.meta.url).pathname,
    ...[address, `${port}`, `${count}`],
  ]);
  const [, opened] = await program.waitFor(/opened (\d+)/, 2 * PATIENCE);
  return { opened: Number(opened), [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}
