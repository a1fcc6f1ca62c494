/** Suite of a provider: its tests registered one by one, each on a provider of its own, which is closed after it. */
import { hostTest } from "../permissions.ts";

interface Closable {
  /** Releases what the provider holds. */
  close(): void;
}

export interface ProviderSuite<Fixture extends Closable> {
  readonly open: () => Fixture;
  /** Whether the host does not have it. */
  readonly ignore?: boolean;
}

/** Registers the tests of a provider under `name`. */
export function testProvider<Fixture extends Closable>(
  name: string,
  { open, ignore = false }: ProviderSuite<Fixture>,
  tests: Readonly<Record<string, (fixture: Fixture) => void>>,
): void {
  for (const [behaviour, run] of Object.entries(tests)) {
    hostTest({
      name: `${name}: ${behaviour}${ignore ? ` (ignored: ${name} finds no such library)` : ""}`,
      ignore,
      fn() {
        const fixture = open();
        try {
          run(fixture);
        } finally {
          fixture.close();
        }
      },
    });
  }
}
