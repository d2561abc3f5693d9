/** A number of processors as `docker run --cpus` has it, such as 1.5. Undefined for what is none. */
export function processorsIn(text: string): number | undefined {
  return /^\d{1,4}(?:\.\d{1,9})?$/.test(text) && Number(text) > 0 ? Number(text) : undefined;
}
