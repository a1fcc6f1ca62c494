/** Watched: shows what changes again every second, until a signal comes or nobody can see it any more. */
import { listenForStop } from "../../process/stop_signal.ts";

/** ms between two looks of `--watch`. */
const INTERVAL = 1_000;

/** @param show returns false when nobody can see it any more */
export async function everySecond(show: () => Promise<boolean>): Promise<void> {
  using stop = listenForStop();
  let isStopped = false;
  const stopped = stop.received.then(() => {
    isStopped = true;
  });
  while (!isStopped && await show()) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const pause = new Promise<void>((resolve) => timer = setTimeout(resolve, INTERVAL));
    await Promise.race([stopped, pause]);
    clearTimeout(timer);
  }
}
