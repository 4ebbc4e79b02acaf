// Waiting until somebody has stopped writing.

/**
 * Calls `run` once it has not been called for so many milliseconds.
 *
 * @param {() => void} run
 * @param {number} wait
 */
export function debounced(run, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, wait);
  };
}
