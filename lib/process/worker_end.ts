/**
 * End of worker threads. A thread lives on for some 30 ms after it has been told to end, while its engine and what
 * libraries keep for it are taken down. A process that exits meanwhile takes down the same from its side, and the heap
 * breaks: SIGABRT.
 */

/** Deno names its workers' threads `worker-0`, `worker-1`, ... */
const NAME = /^worker-\d/;
const TASKS = "/proc/self/task";
/** ms between two looks. */
const PAUSE = 5;
/** ms; one that hangs ends with the process. */
const LIMIT = 1_000;

/** Waits until no worker's thread is left, for a second at most; to be called before the process exits. */
export async function workersGone(): Promise<void> {
  const end = performance.now() + LIMIT;
  while (hasWorker() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function hasWorker(): boolean {
  try {
    return [...Deno.readDirSync(TASKS)].some(({ name }) => isWorker(name));
  } catch {
    // Nothing is known of threads here.
    return false;
  }
}

function isWorker(task: string): boolean {
  try {
    return NAME.test(Deno.readTextFileSync(`${TASKS}/${task}/comm`));
  } catch {
    // It has just ended.
    return false;
  }
}
