import type { AccessLog } from '../../platform/access-log/access-log.ts';

/**
 * An access log that writes down one pull of so many, which then stands for them (`times`), or none with 0. Everything else is
 * written down whole: sign-ins and denials are what an audit is for.
 */
export function sampledPulls(accessLog: AccessLog, oneOf: number): AccessLog {
  if (oneOf === 1) return accessLog;
  let pulls = 0;
  return {
    ...accessLog,
    record: (access) => {
      if (access.kind !== 'pull') return accessLog.record(access);
      pulls += 1;
      if (oneOf === 0 || pulls % oneOf !== 0) return;
      const sample = { ...access, times: oneOf };
      accessLog.record(sample);
    },
  };
}
