const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)$/;

/** RFC 3339 as integer microseconds, as events and the audit show them; what is finer is left out. Undefined for a text that is none. */
export function parseInstant(text: string): number | undefined {
  const [, minute, second = ':00', fraction = '', zone] = pattern.exec(text) ?? [];
  if (minute === undefined || zone === undefined) return undefined;
  const ms = Date.parse(`${minute}${second}${zone}`);
  return Number.isNaN(ms) ? undefined : ms * 1_000 + Number(fraction.slice(0, 6).padEnd(6, '0'));
}
