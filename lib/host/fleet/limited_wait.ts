/** Limited wait: waits for work no longer than some time. */

/**
 * What the work comes to; null where it takes longer than `duration` ms, and goes on without anybody who waits.
 *
 * @throws what the work fails with within that time
 */
export async function limitedWait<Result>(
  duration: number,
  work: Promise<Result>,
): Promise<Result | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), duration);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
