import { createHash } from 'node:crypto';

/**
 * The name of a run as people see it: two letters that stand for the registry, and a counter. Opaque: its order is not that
 * of time. Source: ACR tasks, 3.1 (`cax`, `cay`, `ca10`).
 */
export function runIdOf(registryUid: string, number: number): string {
  const [byte = 0] = createHash('sha256').update(registryUid).digest();
  return `c${String.fromCharCode(97 + (byte % 26))}${number.toString(36)}`;
}

/** Whether a text may name a run. */
export function isRunId(text: string): boolean {
  return /^[a-z]{2}[0-9a-z]{1,11}$/.test(text);
}
